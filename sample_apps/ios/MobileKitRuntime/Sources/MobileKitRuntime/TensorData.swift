/// Values of an input or output: raw bytes in the machine's order, which is little-endian on every Apple device.
public struct TensorData: Equatable, Sendable {
    public enum Kind: String, Codable, Sendable {
        case float32, uint8, int32, int64, bool

        public var bytes: Int {
            switch self {
            case .uint8, .bool: 1
            case .float32, .int32: 4
            case .int64: 8
            }
        }
    }

    public let kind: Kind
    public let shape: [Int]
    public let bytes: [UInt8]

    /// Nil where the bytes aren't as many as the shape says.
    public init?(kind: Kind, shape: [Int], bytes: [UInt8]) {
        guard shape.reduce(kind.bytes, *) == bytes.count else { return nil }
        (self.kind, self.shape, self.bytes) = (kind, shape, bytes)
    }

    /// Nil where the values aren't as many as the shape says.
    public init?(shape: [Int], floats: [Float]) {
        self.init(kind: .float32, shape: shape, bytes: floats.withUnsafeBytes { [UInt8]($0) })
    }

    /// All values, of whatever kind.
    public var doubles: [Double] {
        switch kind {
        case .float32: read(Float.self).map(Double.init)
        case .uint8, .bool: bytes.map(Double.init)
        case .int32: read(Int32.self).map(Double.init)
        case .int64: read(Int64.self).map(Double.init)
        }
    }

    private func read<Value: BitwiseCopyable>(_ type: Value.Type) -> [Value] {
        bytes.withUnsafeBytes { raw in
            (0..<bytes.count / kind.bytes).map { raw.loadUnaligned(fromByteOffset: $0 * kind.bytes, as: type) }
        }
    }
}
