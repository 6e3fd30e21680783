// ExecuTorch has no libraries for the simulator of an Intel Mac.
#if canImport(ExecuTorch) && !(targetEnvironment(simulator) && arch(x86_64))
import ExecuTorch
import Foundation

/// Runs a .pte file with ExecuTorch, on the backend that it was exported for.
public final class ExecuTorchRunner: ModelRunner {
    public let name: String
    private let artifact: Artifact
    private let module: Module

    /// Throws: MobileKitError where the file is missing or broken, or its backend isn't linked.
    public init(_ artifact: Artifact) throws {
        self.artifact = artifact
        name = "ExecuTorch \(artifact.manifest.backend ?? "portable")"
        module = Module(filePath: try artifact.modelOnDisk().path)
        try asking("\(artifact.title): ExecuTorch can't load it", or: "Bundle the model again.") {
            try module.load("forward")
        }
    }

    public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
        let tensors = try artifact.ordered(inputs).map { _, values in
            AnyTensor(data: Data(values.bytes), shape: values.shape, dataType: types[values.kind] ?? .undefined)
        }
        let found = try asking("\(artifact.title): ExecuTorch can't run it", or: "Verify the artifact.") {
            () throws -> [Value] in try module.forward(tensors)
        }
        return try artifact.checked { place, output in
            var result: TensorData?
            found.dropFirst(place).first?.anyTensor?.bytes { pointer, count, type in
                guard type == types[output.dtype] else { return }
                let bytes = UnsafeRawBufferPointer(start: pointer, count: count * output.dtype.bytes)
                result = TensorData(kind: output.dtype, shape: output.shape, bytes: [UInt8](bytes))
            }
            return result
        }
    }
}

/// ExecuTorch's names of what enters and leaves a file.
private let types: [TensorData.Kind: DataType] = [
    .float32: .float, .uint8: .byte, .int32: .int, .int64: .long, .bool: .bool,
]
#endif
