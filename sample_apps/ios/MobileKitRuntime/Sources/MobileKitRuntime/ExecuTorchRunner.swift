#if canImport(ExecuTorch)
import ExecuTorch
import Foundation

/// Runs a .pte file with ExecuTorch, on the backend that it was exported for.
public final class ExecuTorchRunner: ModelRunner {
    public let name: String
    private let artifact: Artifact
    private let module: Module

    /// Throws: MobileKitError.model where the file is missing or broken, or its backend isn't linked.
    public init(_ artifact: Artifact) throws {
        self.artifact = artifact
        name = "ExecuTorch \(artifact.manifest.backend ?? "portable")"
        let module = Module(filePath: artifact.folder.appending(path: artifact.manifest.modelFile).path)
        try asking("\(artifact.title): ExecuTorch can't load it", or: "Bundle the model again.") {
            try module.load("forward")
        }
        self.module = module
    }

    public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
        let tensors = try artifact.ordered(inputs).map { _, values in
            AnyTensor(data: Data(values.bytes), shape: values.shape, dataType: values.kind.execuTorch)
        }
        let found = try asking("\(artifact.title): ExecuTorch can't run it", or: "Verify the artifact.") {
            () throws -> [Value] in try module.forward(tensors)
        }
        let values = Dictionary(
            zip(artifact.manifest.outputs.map(\.name), found), uniquingKeysWith: { first, _ in first })
        return try artifact.checked { output in
            var result: TensorData?
            values[output.name]?.anyTensor?.bytes { pointer, count, type in
                guard type == output.dtype.execuTorch else { return }
                let bytes = UnsafeRawBufferPointer(start: pointer, count: count * output.dtype.bytes)
                result = TensorData(kind: output.dtype, shape: output.shape, bytes: [UInt8](bytes))
            }
            return result
        }
    }
}

extension TensorData.Kind {
    fileprivate var execuTorch: DataType {
        switch self {
        case .float32: .float
        case .uint8: .byte
        case .int32: .int
        case .int64: .long
        case .bool: .bool
        }
    }
}
#endif
