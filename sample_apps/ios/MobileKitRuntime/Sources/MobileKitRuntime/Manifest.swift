import Foundation

/// manifest.json, as far as an app needs it. Its keys are described in the kit's `manifest.schema.json`.
public struct Manifest: Codable, Sendable {
    public struct Model: Codable, Sendable {
        public let family, head, source: String
        public let numLabels: Int?
    }

    public struct Recipe: Codable, Sendable { public let name: String }

    /// What turns a photo into the file's input. The arithmetic is `(x * scale - mean) / std` a channel, x in 0...255;
    /// where `inGraph` holds, the file does it.
    public struct Preprocess: Codable, Sendable {
        public struct Resize: Codable, Sendable { public let shortestEdge, height, width: Int? }

        public let resize: Resize?
        /// Height and width.
        public let crop: [Int]?
        public let resample, rounding, channelOrder: String
        public let scale: Double
        public let mean, std: [Double]
        public let inGraph: Bool
    }

    /// An input or output of the file; `color` is an input's, `meaning` an output's.
    public struct Tensor: Codable, Sendable {
        public let name: String
        public let shape: [Int]
        public let dtype: TensorData.Kind
        public let layout, color, meaning: String?
        /// The golden values' path in the artifact's folder.
        public let golden: String
    }

    public struct File: Codable, Sendable {
        public let sha256: String
        public let bytes: Int
    }

    public let schemaVersion: Int
    public let model: Model
    public let target: String
    public let backend: String?
    public let modelFile: String
    public let recipe: Recipe
    public let preprocess: Preprocess
    public let inputs, outputs: [Tensor]
    public let files: [String: File]

    /// What the network takes, in pixels; nil where the manifest leaves it open.
    public var imageSize: (height: Int, width: Int)? {
        if let crop = preprocess.crop { return crop.count == 2 ? (crop[0], crop[1]) : nil }
        guard let height = preprocess.resize?.height, let width = preprocess.resize?.width else { return nil }
        return (height, width)
    }

    /// The model's files: one, or all of a package.
    public var modelFiles: [File] {
        files.filter { $0.key == modelFile || $0.key.hasPrefix(modelFile + "/") }.map(\.value)
    }
}

/// models.json, the index of a bundle.
struct ModelIndex: Codable {
    struct Entry: Codable {
        let folder, title: String
        let leastSqnrDb: [String: Double]
    }

    let schemaVersion: Int
    let models: [Entry]
}

/// A model's folder in the app, with its manifest read.
public struct Artifact: Sendable {
    /// Of manifest.json and models.json.
    public static let schemaVersion = 1

    public let folder: URL
    public let title: String
    public let manifest: Manifest
    /// The class names, in the order of the classifier's outputs; empty where the checkpoint has none.
    public let labels: [String]
    /// What the self-test holds an output's SQNR against, in decibels by output; others aren't judged.
    public let leastSqnrDb: [String: Double]

    /// Read an artifact's folder. Throws: MobileKitError.artifact.
    public init(folder: URL, title: String, leastSqnrDb: [String: Double]) throws {
        (self.folder, self.title, self.leastSqnrDb) = (folder, title, leastSqnrDb)
        manifest = try decode(Manifest.self, from: folder.appending(path: "manifest.json"))
        guard !manifest.inputs.isEmpty, !manifest.outputs.isEmpty else {
            throw MobileKitError.artifact("\(title): its manifest names no input or output. Export the model again.")
        }
        let text = (try? String(contentsOf: folder.appending(path: "labels.txt"), encoding: .utf8)) ?? ""
        // A label may hold what Unicode calls a newline too.
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        labels = lines.last == "" ? lines.dropLast() : lines
    }

    /// Read all artifacts that a folder's models.json names; one that is broken is an error of its own.
    /// Throws: MobileKitError.artifact where models.json can't be read.
    public static func all(in folder: URL) throws -> [Result<Artifact, any Error>] {
        try decode(ModelIndex.self, from: folder.appending(path: "models.json")).models.map { entry in
            let own = folder.appending(path: entry.folder)
            return Result { try Artifact(folder: own, title: entry.title, leastSqnrDb: entry.leastSqnrDb) }
        }
    }

    var modelURL: URL { folder.appending(path: manifest.modelFile) }

    /// Read the golden values of an input or output. Throws: MobileKitError.artifact where they don't fit its shape.
    public func golden(_ tensor: Manifest.Tensor) throws -> TensorData {
        guard let bytes = try? Data(contentsOf: folder.appending(path: tensor.golden)),
            let values = TensorData(kind: tensor.dtype, shape: tensor.shape, bytes: [UInt8](bytes))
        else {
            throw MobileKitError.artifact("\(title): \(tensor.golden) isn't \(tensor.shape). Bundle the model again.")
        }
        return values
    }

    /// The name of a class.
    public func label(_ index: Int) -> String { labels.indices.contains(index) ? labels[index] : "class \(index)" }
}

private struct Versioned: Decodable { let schemaVersion: Int }

private func decode<Value: Decodable>(_ type: Value.Type, from file: URL) throws -> Value {
    let name = "\(file.deletingLastPathComponent().lastPathComponent)/\(file.lastPathComponent)"
    guard let data = try? Data(contentsOf: file) else {
        throw MobileKitError.artifact("\(name): isn't there. Bundle the model again.")
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let version = (try? decoder.decode(Versioned.self, from: data))?.schemaVersion else {
        throw MobileKitError.artifact("\(name): isn't JSON with a schema version. Bundle the model again.")
    }
    guard version == Artifact.schemaVersion else {
        throw MobileKitError.artifact(
            "\(name): schema version \(version) is unknown. Known: \(Artifact.schemaVersion). Update the app.")
    }
    guard let value = try? decoder.decode(type, from: data) else {
        throw MobileKitError.artifact("\(name): lacks what this app needs. Bundle the model again.")
    }
    return value
}
