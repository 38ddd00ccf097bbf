"""pytorch-tabnet's network, computed for several sets of weights at once.

The weights are those of ``pytorch_tabnet.tab_network.TabNet`` and so is the arithmetic; what differs is how
much one operation does: all virtual batches of all networks are normalised together. Features come before
rows in all tensors, (networks, features, rows), so that each virtual batch lies in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import glu

if TYPE_CHECKING:
    from dallm.evaluation.models.tabnet.batches import Layout

_EPS = 1e-5
_ENCODER = "tabnet.encoder"
_UNUSED = ("tabnet.initial_bn.", "embedder.")


class _Normalise(torch.autograd.Function):
    """Batch normalisation per network, feature and virtual batch; places without a row count for nothing."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mask: torch.Tensor | None,
        per: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if mask is None:
            mean = x.sum(-1, keepdim=True).mul_(per)
            centred = x - mean
        else:
            mean = (x * mask).sum(-1, keepdim=True).mul_(per)
            centred = (x - mean).mul_(mask)
        variance = (centred * centred).sum(-1, keepdim=True).mul_(per)
        inverse = torch.rsqrt(variance + _EPS)
        out = torch.addcmul(bias, centred, weight * inverse)
        ctx.save_for_backward(centred, inverse, weight, per)
        ctx.mask = mask
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = grads[0]
        centred, inverse, weight, per = ctx.saved_tensors
        total = grad.sum(-1, keepdim=True)
        along = (grad * centred).sum(-1, keepdim=True).mul_(inverse)
        back = (grad - total * per).addcmul_(centred, along * inverse * per, value=-1)
        back.mul_(weight * inverse)
        if ctx.mask is not None:
            back.mul_(ctx.mask)
        return back, along.sum(2, keepdim=True), total.sum(2, keepdim=True), None, None


class _Sparsemax(torch.autograd.Function):
    """Projection onto the simplex over the features (Martins and Astudillo, 2016)."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        out = torch.clamp_min(z - _threshold(z), 0)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = ctx.saved_tensors[0]
        chosen = (out > 0).to(out.dtype)
        grad: torch.Tensor = grads[0] * chosen
        return grad - chosen * (grad.sum(1, keepdim=True) / chosen.sum(1, keepdim=True))


def _threshold(z: torch.Tensor) -> torch.Tensor:
    """What is taken off every value so that the positive ones add up to 1, over dimension 1."""
    if z.is_cuda:  # the loop below would wait for the device at every turn
        ordered = z.sort(dim=1, descending=True).values
        sums = ordered.cumsum(1) - 1
        rank = torch.arange(1, z.shape[1] + 1, device=z.device, dtype=z.dtype).view(1, -1, 1)
        size = (rank * ordered > sums).sum(1, keepdim=True).clamp_min_(1)
        return sums.gather(1, size - 1) / size
    inside = (z > z.amax(1, keepdim=True) - 1).to(z.dtype)  # below that nothing stays positive
    count = inside.sum(1, keepdim=True)
    while True:  # the set only ever shrinks, so this ends; NaN empties it
        threshold = ((z * inside).sum(1, keepdim=True) - 1) / count
        inside = inside * (z > threshold)
        left = inside.sum(1, keepdim=True)
        if torch.equal(left, count):
            return threshold
        count = left


class Stack:
    """The weights of several networks of one shape, side by side.

    Parameters
    ----------
    networks : sequence of TabNet
        pytorch-tabnet's, of equal shape.
    device : torch.device

    Attributes
    ----------
    weights : Tensor, shape (networks, weights)
        All that is trained.
    running : Tensor, shape (networks, statistics)
        Means and variances that stand in for those of a batch at prediction.
    """

    def __init__(self, networks: Sequence[Any], device: torch.device) -> None:
        first = networks[0]
        self.momentum = (
            float(first.tabnet.encoder.feat_transformers[0].specifics.glu_layers[0].bn.bn.momentum)
            if first.n_independent
            else float(first.tabnet.encoder.feat_transformers[0].shared.glu_layers[0].bn.bn.momentum)
        )
        self.n_d, self.n_steps, self.gamma, self.epsilon = (
            first.n_d,
            first.n_steps,
            first.gamma,
            first.epsilon,
        )
        self.blocks = [("shared", first.n_shared), ("specifics", first.n_independent)]
        self.shapes = {
            name: tuple(value.shape)
            for name, value in first.named_parameters()
            if not name.startswith(_UNUSED)
        }
        self.statistics = {
            name: tuple(value.shape)
            for name, value in first.named_buffers()
            if name.endswith(("running_mean", "running_var")) and not name.startswith(_UNUSED)
        }
        states = [network.state_dict() for network in networks]
        self.weights = _flat(states, self.shapes).to(device)
        self.running = _flat(states, self.statistics).to(device)

    def select(self, chosen: torch.Tensor) -> Stack:
        """Return the stack of some of its networks."""
        one = object.__new__(Stack)
        one.__dict__.update(self.__dict__)
        one.weights, one.running = self.weights[chosen], self.running[chosen]
        return one

    def double(self) -> Stack:
        """Return the stack in double precision, in which a row's result does not depend on its neighbours."""
        one = object.__new__(Stack)
        one.__dict__.update(self.__dict__)
        one.weights, one.running = self.weights.double(), self.running.double()
        return one

    def write(self, index: int, network: Any) -> None:
        """Put the weights of one network back into pytorch-tabnet's."""
        state = network.state_dict()
        for flat, shapes in ((self.weights, self.shapes), (self.running, self.statistics)):
            for name, value in _views(flat[index : index + 1], shapes).items():
                state[name].copy_(value[0])

    def forward(
        self, x: torch.Tensor, weights: torch.Tensor, layout: Layout | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute the network.

        Parameters
        ----------
        x : Tensor, shape (networks, features, rows)
        weights : Tensor, shape (networks, weights)
        layout : Layout, optional
            In training, which also updates the running statistics; at prediction None.

        Returns
        -------
        logits : Tensor, shape (networks, classes, rows)
        sparsity : Tensor, shape (networks, 1, rows)
            Negative entropy of the attention, mean over the steps.
        relevance : Tensor, shape (networks, features, rows)
            Attention times contribution of each step, added up; empty in training.
        """
        with torch.no_grad():
            running = _views(self.running, self.statistics)
        run = _Run(self, _views(weights, self.shapes), running, layout)
        x = run.normalised(x, f"{_ENCODER}.initial_bn", whole=True)
        attention = run.features(x, f"{_ENCODER}.initial_splitter")[:, self.n_d :]
        prior: torch.Tensor | None = None
        decided: torch.Tensor | None = None
        sparsity = x.new_zeros(())
        relevance = x.new_zeros(()) if layout is None else x.new_empty(0)
        for step in range(self.n_steps):
            z = run.linear(attention, f"{_ENCODER}.att_transformers.{step}.fc")
            z = run.normalised(z, f"{_ENCODER}.att_transformers.{step}.bn.bn")
            mask = _Sparsemax.apply(z if prior is None else z * prior)
            sparsity = sparsity + (mask * torch.log(mask + self.epsilon)).sum(1, keepdim=True)
            left = self.gamma - mask
            prior = left if prior is None else prior * left
            out = run.features(mask * x, f"{_ENCODER}.feat_transformers.{step}")
            d = torch.relu(out[:, : self.n_d])
            decided = d if decided is None else decided + d
            if layout is None:
                relevance = relevance + mask * d.sum(1, keepdim=True)
            attention = out[:, self.n_d :]
        assert decided is not None
        return run.linear(decided, "tabnet.final_mapping"), sparsity / self.n_steps, relevance


class _Run:
    """One pass through the networks: their weights by name and how the batch is laid out."""

    def __init__(
        self,
        stack: Stack,
        weights: Mapping[str, torch.Tensor],
        running: Mapping[str, torch.Tensor],
        layout: Layout | None,
    ) -> None:
        self.stack, self.weights, self.running, self.layout = stack, weights, running, layout

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.bmm(self.weights[f"{name}.weight"], x)

    def normalised(self, x: torch.Tensor, name: str, *, whole: bool = False) -> torch.Tensor:
        weight = self.weights[f"{name}.weight"].unsqueeze(-1)
        bias = self.weights[f"{name}.bias"].unsqueeze(-1)
        mean, variance = self.running[f"{name}.running_mean"], self.running[f"{name}.running_var"]
        if self.layout is None:
            scale = weight * torch.rsqrt(variance + _EPS).unsqueeze(-1)
            return torch.addcmul(bias - mean.unsqueeze(-1) * scale, x, scale)
        layout = self.layout.whole() if whole else self.layout
        cut = x.reshape(x.shape[0], x.shape[1], layout.chunks, -1)
        out, means, variances = _Normalise.apply(
            cut, weight.unsqueeze(-1), bias.unsqueeze(-1), layout.mask, layout.per
        )
        kept, share = layout.memory(0.01 if whole else self.stack.momentum)
        with torch.no_grad():
            mean.mul_(kept).add_((means.squeeze(-1) * share).sum(-1))
            variance.mul_(kept).add_((variances.squeeze(-1) * (layout.unbiased * share)).sum(-1))
        return out.view(x.shape)  # type: ignore[no-any-return]

    def features(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """The feature transformer: gated layers, the first ones with weights that all steps share."""
        first = True
        for block, layers in self.stack.blocks:
            for i in range(layers):
                here = f"{name}.{block}.glu_layers.{i}"
                common = f"{_ENCODER}.initial_splitter.shared.shared_layers.{i}"
                layer = common if block == "shared" else f"{here}.fc"
                gated = glu(self.normalised(self.linear(x, layer), f"{here}.bn.bn"), dim=1)
                x = gated if first else (x + gated) * 0.5**0.5
                first = False
        return x


def _flat(states: Sequence[Mapping[str, torch.Tensor]], shapes: Mapping[str, Any]) -> torch.Tensor:
    return torch.stack([torch.cat([s[name].detach().reshape(-1) for name in shapes]) for s in states]).float()


def _views(flat: torch.Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    sizes = [int(torch.Size(shape).numel()) for shape in shapes.values()]
    parts = torch.split(flat, sizes, dim=1)
    return {
        name: part.view(len(flat), *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
