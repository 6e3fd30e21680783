"""Keep what works on noise alone out of a float16 delegate: rounded numbers tie, and their order is lost."""

from typing import Any

from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir.backend.partitioner import PartitionResult
from torch import fx
from torch.export import ExportedProgram

__all__ = ["NoiseOutside"]

TAG = "delegation_tag"


class NoiseOutside(CoreMLPartitioner):
    """ExecuTorch's Core ML partitioner, which leaves to ExecuTorch's own kernels what reads no input but noise.

    noise: the places of those inputs among the program's.
    """

    def __init__(self, noise: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.noise = noise

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        """Tag the nodes that the delegate takes."""
        result = super().partition(exported_program)
        if self.noise:
            graph, inputs = exported_program.graph, exported_program.graph_signature.user_inputs
            names = {inputs[place] for place in self.noise}
            for node in _reading_only(graph, names, set(inputs) - names):
                node.meta.pop(TAG, None)
            _free_constants(graph)
            used = {node.meta.get(TAG) for node in graph.nodes if node.op == "call_function"}
            result.partition_tags = {tag: spec for tag, spec in result.partition_tags.items() if tag in used}
        return result


def _reading_only(graph: fx.Graph, names: set[str], others: set[str]) -> list[fx.Node]:
    """Return the calls that depend on inputs of some names and on no other input. Nothing before them is left."""
    sources: dict[fx.Node, set[bool]] = {}
    for node in graph.nodes:
        own = {node.name in names} if node.name in names | others else set()
        sources[node] = own.union(*(sources[before] for before in node.all_input_nodes))
    return [node for node in graph.nodes if node.op == "call_function" and sources[node] == {True}]


def _free_constants(graph: fx.Graph) -> None:
    """Take the tag from constants that something outside their delegate reads."""
    for node in graph.nodes:
        if node.op == "placeholder" and any(user.meta.get(TAG) != node.meta.get(TAG) for user in node.users):
            node.meta.pop(TAG, None)
