"""What both trainings share: batches, the schedule, averaged weights, the history, checkpoints.

A step's random draws depend on the seed and the step alone, so a run that was cut goes on with the
same batches. Between calls on one machine WORK/NAME.run.pt keeps everything; what travels is the
averaged weights in fp16 (`store.save_pieces`), from which a run on another machine goes on with
fresh moments and a short warm-up.
"""

import json
import time
from pathlib import Path

import torch

from store import half, save_pieces

GROUP = 8  # passages a query


def draw(data, mined, step, seed, batch):
    """(queries [b], passages [b, GROUP], the known positive is the first [b]); batch: queries by class."""
    device = mined.device
    g = torch.Generator(device=device)
    g.manual_seed(seed * 1_000_003 + step)
    chosen = [rows[torch.randint(0, len(rows), (n,), device=device, generator=g)]
              for rows, n in zip(data.of_class, batch)]
    queries = torch.cat(chosen)
    b, pool = len(queries), mined.shape[1]
    luck = torch.rand(b, pool, device=device, generator=g)
    luck[:, :12] += 0.25  # the nearest by cosine more often
    passages = mined[queries].gather(1, luck.topk(GROUP, 1).indices).long()
    top = mined[queries].gather(1, torch.randint(0, 2, (b, 1), device=device, generator=g)).long().squeeze(1)
    known = data.positive[queries]
    use = (known >= 0) & (torch.rand(b, device=device, generator=g) < 0.85)
    passages[:, 0] = torch.where(use, known, top)
    return queries, passages, use


class Schedule:
    """Linear warm-up and decay over a number of steps; or over minutes, measured on the first steps."""

    def __init__(self, steps, minutes, warm=100):
        self.steps, self.minutes, self.warm = steps, minutes, warm
        self.begun = self.marked = None

    def rate(self, step):
        """The factor of the learning rate at a step, counted from 0."""
        if self.steps is None:
            now = time.time()
            self.begun = self.begun or now
            if step == 20:
                self.marked = now
            if step == 60:
                self.steps = 60 + int((self.minutes * 60 - (now - self.begun)) / ((now - self.marked) / 40))
            return min(1.0, (step + 1) / self.warm)
        return min(1.0, (step + 1) / self.warm) * max(0.02, 1 - step / self.steps)

    def over(self, step):
        return self.steps is not None and step >= self.steps


class Average:
    """An exponential average of the weights, every fourth step; its memory grows with the run."""

    def __init__(self, model):
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model, step):
        if step % 4 == 0:
            keep = min(0.997, 1 - 1 / (step / 4 + 1))
            for name, value in model.state_dict().items():
                if value.is_floating_point():
                    self.state[name].lerp_(value, 1 - keep)


class History:
    """Lines of JSON: losses averaged over the steps since the last line, and evaluations."""

    def __init__(self, path):
        self.path, self.sums, self.count, self.begun = Path(path), {}, 0, time.time()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, **values):
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.count += 1

    def write(self, kind, **values):
        line = {"kind": kind, "seconds": round(time.time() - self.begun, 1), **values}
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def flush(self, step, **values):
        means = {k: round(float(v) / max(1, self.count), 4) for k, v in self.sums.items()}
        self.sums, self.count = {}, 0
        self.write("loss", step=step, **means, **values)


def save_run(work, out, name, model, average, optimizer, step, schedule, extra):
    """Everything into WORK for the next call here; the averaged weights into OUT."""
    torch.save({"model": model.state_dict(), "average": average.state, "optimizer": optimizer.state_dict(),
                "step": step, "steps": schedule.steps, "extra": extra}, Path(work) / f"{name}.run.pt")
    return save_pieces(half(average.state), out, name)


def load_run(work, name, model, average, optimizer, schedule):
    """(step, extra) of a cut run in WORK, everything restored; (0, {}) if there is none."""
    path = Path(work) / f"{name}.run.pt"
    if not path.exists():
        return 0, {}
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    for key, value in average.state.items():
        value.copy_(kept["average"][key])
    optimizer.load_state_dict(kept["optimizer"])
    schedule.steps = kept["steps"]
    return kept["step"], kept["extra"]
