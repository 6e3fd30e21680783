"""What each part of a network costs in int8, measured on each target: a table, a JSON file and a bar plot."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mobile_kit.artifacts.staging import staging_folder
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.plan import plan
from mobile_kit.exporting.prepare import prepare
from mobile_kit.exporting.worker_pool import run_jobs
from mobile_kit.progress import Progress
from mobile_kit.quantization.cost_plot import plot_costs
from mobile_kit.quantization.part_costs import Fidelity, PartCost, read_costs
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import refusal
from mobile_kit.target_api.registry import find_target, installed_targets

__all__ = ["Sensitivity", "sensitivity"]

RECIPE = "static_wi8_ai8_mixed"


@dataclass(frozen=True)
class Sensitivity:
    """The cost of each part on one target, and where its table and its plot lie.

    everything: what is kept with all in int8 that a static recipe computes so.
    """

    target: str
    costs: tuple[PartCost, ...]
    everything: Fidelity
    table: Path
    plot: Path

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values; decibels are null where nothing is lost, and of class maps."""
        costs = [{**asdict(cost), "kept": cost.kept and cost.kept.to_json()} for cost in self.costs]
        record = {"target": self.target, "costs": costs, "everything": self.everything.to_json()}
        return {**record, "table": str(self.table), "plot": str(self.plot)}


def sensitivity(options: ExportOptions, progress: Progress) -> tuple[list[Sensitivity], tuple[str, ...]]:
    """Measure the parts of a checkpoint's model on each target that serves a mixed recipe, in int8 one by one.

    What is measured is kept: stopped, it goes on where it was, and an export with a mixed recipe reads it too.
    Returns: what was found, and a line for each target that failed. Raises: MobileKitError of the kind that fits.
    """
    choices = plan(replace(options, recipes=(RECIPE,), targets=options.targets or _serving(options)))
    with staging_folder(options.out) as staging:
        prepared = prepare(options, choices, staging, progress, measures_only=True)
        failures = run_jobs(prepared.jobs, progress)
    found = []
    for choice, job in zip(choices, prepared.jobs, strict=True):
        if job.name not in failures:
            assert job.costs is not None
            costs, everything = read_costs(job.costs)
            plot = job.costs.with_suffix(".png")
            title = f"{prepared.oracle.checkpoint.source.rpartition('/')[2]}, {choice.place}"
            plot_costs(costs, everything, title, plot)
            found.append(Sensitivity(choice.place, tuple(costs), everything, job.costs, plot))
    return found, tuple(failures.values())


def _serving(options: ExportOptions) -> tuple[str, ...]:
    """Return the installed targets that serve a mixed recipe."""
    asked = (recipe(RECIPE), options.backend, options.deployment_target)
    return tuple(name for name in installed_targets() if refusal(find_target(name), *asked) is None)
