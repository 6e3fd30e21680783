"""What a .tflite consists of, as LiteRT's interpreter sees it."""

from collections import Counter
from pathlib import Path
from typing import Any

from mobile_kit.target_api.interface import Fallback

__all__ = ["read_graph"]

REASON = "LiteRT's XNNPACK delegate doesn't take it; it runs on LiteRT's own kernel"


def read_graph(path: Path) -> tuple[dict[str, int], int, tuple[Fallback, ...]]:
    """Count a .tflite's operations, the partitions of the XNNPACK delegate, and what stays outside them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    ops = Counter(op["op_name"] for op in details)
    partitions = ops.pop("DELEGATE", 0)
    outside = _outside(details, [detail["index"] for detail in interpreter.get_output_details()])
    return dict(ops), partitions, tuple(Fallback(op, count, REASON) for op, count in sorted(outside.items()))


def _outside(details: list[dict[str, Any]], outputs: list[int]) -> Counter[str]:
    """Count the operations that run, walking back from the outputs: a delegate stands before what it replaced."""
    makers = {int(tensor): op for op in details for tensor in op["outputs"] if op["op_name"] != "DELEGATE"}
    makers |= {int(tensor): op for op in details for tensor in op["outputs"] if op["op_name"] == "DELEGATE"}
    todo, seen = list(outputs), set[int]()
    found: Counter[str] = Counter()
    while todo:
        op = makers.get(int(todo.pop()))
        if op is None or op["index"] in seen:
            continue
        seen.add(op["index"])
        found[op["op_name"]] += op["op_name"] != "DELEGATE"
        todo.extend(op["inputs"])
    return +found
