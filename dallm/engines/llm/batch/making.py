"""What batch mode needs, put together for one run."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from dallm.engines.llm.batch.filling import BatchFilling
from dallm.engines.llm.batch.gateway import BatchGateway
from dallm.engines.llm.batch.inbox import Inbox
from dallm.engines.llm.batch.outbox import Outbox
from dallm.engines.llm.batch.records import BatchRecords
from dallm.engines.llm.batch.service import BatchService
from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.gateway import Gateway
from dallm.engines.llm.guarded_chat import GuardedChat
from dallm.engines.llm.purse import ModelPurse
from dallm.engines.llm.units import Planner
from dallm.engines.llm.wire import ChatClient
from dallm.errors import UserError


def check_batch(client: ChatClient, cache: AnswerCache | None) -> OpenAIChat:
    """Return the client whose server is asked in batches.

    Raises
    ------
    UserError
        If it does not speak OpenAI's interface, or nothing would be kept until the answers come.
    """
    inner = client.inner if isinstance(client, GuardedChat) else client
    if not isinstance(inner, OpenAIChat):
        raise UserError(
            f"mode='batch' is for servers that speak OpenAI's interface, and {client.model} is asked in "
            "another way: use mode='live', or dallm.engine('openai:...', base_url=...)."
        )
    if cache is None:
        raise UserError(
            "mode='batch' keeps what it asked until the answers come: give cache=True or a folder, not None."
        )
    return inner


def batch_filling(
    gateway: Gateway,
    planner: Planner,
    cache: AnswerCache | None,
    model_key: str,
    *,
    reserved: MutableMapping[str, Any],
    wait_s: float,
) -> BatchFilling:
    """Return a run of filling through batches, with the client, ledger and budget of a gateway."""
    chat = check_batch(gateway.client, cache)
    assert cache is not None
    budget = gateway.budget.in_batch() if isinstance(gateway.budget, ModelPurse) else gateway.budget
    price = budget.price if isinstance(budget, ModelPurse) else None
    watched = isinstance(gateway.client, GuardedChat) and gateway.client.watched
    service, records = BatchService(chat, watched=watched), BatchRecords(cache.folder)
    outbox = Outbox(service, records, model_key, gateway.ledger)
    asked = BatchGateway(chat, outbox, model_key, ledger=gateway.ledger, budget=budget, reserved=reserved)
    inbox = Inbox(service, records, model_key, gateway.ledger, price)
    return BatchFilling(asked, inbox, planner, cache, model_key, wait_s=wait_s)
