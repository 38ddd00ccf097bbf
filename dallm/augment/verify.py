"""Where the checks of answers were; they stand in :mod:`dallm.augment.verification`."""

from dallm.augment.verification import verified as verified
