"""Patient text stays on the machine: which addresses are public, and who may be sent a patient's words."""

from dallm.egress.addresses import is_public
from dallm.egress.allowed import Allowed, AllowEgress
from dallm.egress.endpoints import endpoints_of
from dallm.egress.guard import GuardedStore, agreement_of, refuse_patient_text, search_with_patient_text

__all__ = [
    "AllowEgress",
    "Allowed",
    "GuardedStore",
    "agreement_of",
    "endpoints_of",
    "is_public",
    "refuse_patient_text",
    "search_with_patient_text",
]
