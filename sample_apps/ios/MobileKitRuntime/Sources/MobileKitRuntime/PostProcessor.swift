import Foundation

/// What a photo's outputs say, by the model's head.
public enum Prediction: Equatable, Sendable {
    /// The best classes, of a classifier.
    case classes([Ranked])
    /// All values of a regression, in their order.
    case values([Ranked])
    /// The class of each pixel, and the classes by their share of them, but for those of a few pixels.
    case segmentation(ClassMap, [Ranked])
    /// What the outputs of any other head look like.
    case features([Feature])
}

/// A class with its probability or its share of the pixels, or a regression's value with its name.
public struct Ranked: Equatable, Sendable {
    public let index: Int
    public let label: String
    public let score: Double
}

/// The class of each pixel, row by row.
public struct ClassMap: Equatable, Sendable {
    public let height, width: Int
    public let classes: [Int]
}

/// An output's name, shape and Euclidean norm.
public struct Feature: Equatable, Sendable {
    public let name: String
    public let shape: [Int]
    public let norm: Double
}

/// Reads what a file's outputs mean.
public struct PostProcessor: Sendable {
    /// A class is named where it has at least this share of the pixels.
    private static let leastShare = 0.002
    private let artifact: Artifact

    public init(_ artifact: Artifact) { self.artifact = artifact }

    /// outputs: by name. top: how many classes. Throws: MobileKitError where outputs are missing or no numbers.
    public func prediction(_ outputs: [String: TensorData], top: Int = 5) throws -> Prediction {
        switch artifact.manifest.model.head {
        case "classification":
            if artifact.manifest.model.activation == .identity { return .values(try values(outputs)) }
            return .classes(ranked(try probabilities(outputs), top: top))
        case "segmentation":
            let map = try classMap(outputs)
            var counts = [Double](repeating: 0, count: (map.classes.max() ?? 0) + 1)
            for index in map.classes { counts[index] += 1 }
            let shares = counts.map { $0 / Double(map.classes.count) }
            return .segmentation(map, ranked(shares, top: counts.count).filter { $0.score >= Self.leastShare })
        default:
            let sorted = outputs.sorted { $0.key < $1.key }
            return .features(try sorted.map { Feature(name: $0, shape: $1.shape, norm: try norm($1)) })
        }
    }

    /// The probability of each class, of a classifier; of its logits where it gives no probabilities. Where each class
    /// is or isn't right by itself, they don't sum to 1.
    public func probabilities(_ outputs: [String: TensorData]) throws -> [Double] {
        if let values = outputs["probabilities"] { return try finite(values) }
        guard let values = try outputs["logits"].map(finite) else { throw unreadable("gives no scores of classes") }
        if artifact.manifest.model.activation == .sigmoid { return values.map { 1 / (1 + exp(-$0)) } }
        let weights = values.map { [most = values.max() ?? 0] value in exp(value - most) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    private func values(_ outputs: [String: TensorData]) throws -> [Ranked] {
        guard let values = try outputs["logits"].map(finite) else { throw unreadable("gives no values") }
        return values.enumerated().map { Ranked(index: $0, label: artifact.label($0), score: $1) }
    }

    /// The class of each pixel, of a segmentation, in the file's own resolution.
    public func classMap(_ outputs: [String: TensorData]) throws -> ClassMap {
        if let mask = outputs["mask"], mask.shape.count == 3 {
            let classes = try finite(mask).map { Int($0) }
            let known = 0..<(artifact.manifest.model.numLabels ?? 256)
            guard classes.allSatisfy(known.contains) else { throw unreadable("names a class beyond \(known)") }
            return ClassMap(height: mask.shape[1], width: mask.shape[2], classes: classes)
        }
        if let scores = outputs["segmenter"], scores.shape.count == 4 {
            let (values, classes) = (try finite(scores), scores.shape[3])
            let firsts = stride(from: 0, to: values.count, by: max(classes, 1))
            let best = firsts.map { first in greatest(classes) { values[first + $0] } }
            return ClassMap(height: scores.shape[1], width: scores.shape[2], classes: best)
        }
        guard let scores = outputs["logits"] else { throw unreadable("gives no map of classes") }
        return try resizedMap(scores)
    }

    /// A class's red, green and blue, and a byte that means nothing: golden-ratio steps of hue, so that neighbours
    /// differ; class 0, the background, is black.
    public static func color(_ index: Int) -> [UInt8] {
        let turn = (Double(index) * 0.618034).truncatingRemainder(dividingBy: 1) * 6
        let (saturation, value) = (0.75, index == 0 ? 0 : 0.95)
        return [5.0, 3.0, 1.0].map { sector in
            let place = (sector + turn).truncatingRemainder(dividingBy: 6)
            let part = value - value * saturation * max(min(place, 4 - place, 1), 0)
            return UInt8((part * 255).rounded(.toNearestOrEven))
        } + [255]
    }

    /// The map in its classes' colours.
    public static func overlay(_ map: ClassMap) throws -> PixelImage {
        let palette = (0...(map.classes.max() ?? 0)).map(color)
        return try PixelImage(height: map.height, width: map.width, bytes: map.classes.flatMap { palette[$0] })
    }

    private func ranked(_ scores: [Double], top: Int) -> [Ranked] {
        let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
        return order.prefix(top).map { Ranked(index: $0, label: artifact.label($0), score: scores[$0]) }
    }

    /// Resize (1, K, h, w) scores to the network's size, bilinear as Pillow does it with floats, and take the best.
    private func resizedMap(_ scores: TensorData) throws -> ClassMap {
        guard let size = artifact.manifest.imageSize, scores.shape.count == 4, scores.kind == .float32,
            try !finite(scores).isEmpty
        else { throw unreadable("gives no map of classes") }
        let (planes, height, width) = (scores.shape[1], scores.shape[2], scores.shape[3])
        let rows = Taps<Float>(filter: .bilinear, from: height, to: size.height, kept: 0..<size.height)
        let columns = Taps<Float>(filter: .bilinear, from: width, to: size.width, kept: 0..<size.width)
        let length = height * width * MemoryLayout<Float>.stride
        let resized = scores.bytes.withUnsafeBytes { source in
            (0..<planes).map { plane in
                let part = UnsafeRawBufferPointer(rebasing: source[plane * length..<(plane + 1) * length])
                let bytes = resampled(part, width: width, rows: rows, columns: columns)
                return bytes.withUnsafeBytes { [Float]($0.bindMemory(to: Float.self)) }
            }
        }
        let best = (0..<size.height * size.width).map { place in greatest(planes) { resized[$0][place] } }
        return ClassMap(height: size.height, width: size.width, classes: best)
    }

    private func norm(_ x: TensorData) throws -> Double { try finite(x).reduce(0) { $0 + $1 * $1 }.squareRoot() }

    private func finite(_ values: TensorData) throws -> [Double] {
        let numbers = values.doubles
        guard numbers.allSatisfy(\.isFinite) else { throw unreadable("gives values that aren't finite numbers") }
        return numbers
    }

    private func unreadable(_ why: String) -> MobileKitError {
        MobileKitError("\(artifact.title): the file \(why). Verify the artifact, or use fp32.")
    }
}

/// The first of the indices below `count` with the greatest value.
private func greatest<Value: Comparable>(_ count: Int, _ value: (Int) -> Value) -> Int {
    (1..<max(count, 1)).reduce(0) { value($1) > value($0) ? $1 : $0 }
}
