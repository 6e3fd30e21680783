import Foundation
#if canImport(CryptoKit)
import CryptoKit
#endif

/// manifest.json, as far as an app needs it. `mobile-kit list --schema manifest` prints the JSON Schema.
public struct Manifest: Codable, Sendable {
    public struct Model: Codable, Sendable {
        public let family, head, source: String
        public let numLabels: Int?
        /// What makes scores of a classifier's logits: `softmax` where one class is right, `sigmoid` where each is or
        /// isn't by itself, `identity` where they are a regression's values. Nil of other heads, and in a manifest of
        /// version 1, which knew no other than softmax.
        public let activation: Activation?
    }

    /// Not `none`, which would be a missing one too.
    public enum Activation: String, Codable, Sendable { case softmax, sigmoid, identity = "none" }

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

    /// The model's files: one, or all of a package, by their paths.
    public var modelFiles: [File] {
        let own = files.filter { $0.key == modelFile || $0.key.hasPrefix(modelFile + "/") }
        return own.sorted { $0.key < $1.key }.map(\.value)
    }

    /// The hash of the model's file; of a package, that of its files' hashes one behind the other. Nil of a package
    /// where there is no CryptoKit.
    public var modelSha256: String? {
        let hashes = modelFiles.map(\.sha256)
        guard hashes.count != 1 else { return hashes[0] }
        #if canImport(CryptoKit)
        return SHA256.hash(data: Data(hashes.joined().utf8)).map { String(format: "%02x", $0) }.joined()
        #else
        return nil
        #endif
    }
}

/// models.json, the index of a bundle.
struct ModelIndex: Codable {
    struct Entry: Codable {
        let folder, title: String
        let leastSqnrDb: [String: Double]
    }

    let models: [Entry]
}

/// A model's folder in the app, with its manifest read.
public struct Artifact: Sendable {
    public let folder: URL
    public let title: String
    public let manifest: Manifest
    /// The class names, in the order of the classifier's outputs; empty where the checkpoint has none.
    public let labels: [String]
    /// What the self-test holds an output's SQNR against, in decibels by output; others aren't judged.
    public let leastSqnrDb: [String: Double]

    /// Read an artifact's folder. Throws: MobileKitError where something is missing, or not as the kit writes it.
    public init(folder: URL, title: String, leastSqnrDb: [String: Double]) throws {
        (self.folder, self.title, self.leastSqnrDb) = (folder, title, leastSqnrDb)
        manifest = try decode(Manifest.self, from: folder.appending(path: "manifest.json"), newest: 2)
        let text = try? String(contentsOf: folder.appending(path: "labels.txt"), encoding: .utf8)
        // A label may hold what Unicode calls a newline too.
        let lines = text?.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) ?? []
        labels = lines.last == "" ? lines.dropLast() : lines
        let judged = Set(leastSqnrDb.keys).subtracting(manifest.outputs.map(\.name))
        if manifest.inputs.isEmpty || manifest.outputs.isEmpty { throw broken("has no input or no output") }
        if text == nil, manifest.files["labels.txt"] != nil { throw broken("labels.txt isn't there") }
        if !judged.isEmpty { throw broken("has no output \(judged.sorted().joined(separator: ", ")) to judge") }
    }

    /// Read all artifacts that a folder's models.json names; one that is broken is an error of its own.
    /// Throws: MobileKitError where models.json can't be read, or names none.
    public static func all(in folder: URL) throws -> [Result<Artifact, any Error>] {
        let models = try decode(ModelIndex.self, from: folder.appending(path: "models.json"), newest: 1).models
        if models.isEmpty { throw MobileKitError("models.json: names no model. Bundle the app again.") }
        return models.map { entry in
            let own = folder.appending(path: entry.folder)
            return Result { try Artifact(folder: own, title: entry.title, leastSqnrDb: entry.leastSqnrDb) }
        }
    }

    /// Read the golden values of an input or output. Throws: MobileKitError where they don't fit its shape.
    public func golden(_ tensor: Manifest.Tensor) throws -> TensorData {
        guard let bytes = try? Data(contentsOf: folder.appending(path: tensor.golden)),
            let values = TensorData(kind: tensor.dtype, shape: tensor.shape, bytes: [UInt8](bytes))
        else { throw broken("\(tensor.golden) isn't \(tensor.shape)") }
        return values
    }

    /// The model's file; or its package, here or in the folder `CoreML` beside that of the artifacts.
    /// Throws: MobileKitError where it isn't there, or is a file of another size than the manifest says.
    func modelOnDisk() throws -> URL {
        let beside = "../../CoreML/\(folder.lastPathComponent).mlpackage"
        let places = [manifest.modelFile, beside].map { folder.appending(path: $0).standardized }
        let found = places.first { FileManager.default.fileExists(atPath: $0.path) }
        let bytes = try? found?.resourceValues(forKeys: [.fileSizeKey]).fileSize
        let wanted = manifest.files[manifest.modelFile]?.bytes
        guard let found, wanted == nil || wanted == bytes
        else { throw broken("\(manifest.modelFile) is missing or torn") }
        return found
    }

    private func broken(_ why: String) -> MobileKitError { MobileKitError("\(title): \(why). Bundle the model again.") }

    /// The name of a class.
    public func label(_ index: Int) -> String { labels.indices.contains(index) ? labels[index] : "class \(index)" }
}

private struct Versioned: Decodable { let schemaVersion: Int }

private func decode<Value: Decodable>(_ type: Value.Type, from file: URL, newest: Int) throws -> Value {
    let name = "\(file.deletingLastPathComponent().lastPathComponent)/\(file.lastPathComponent)"
    func broken(_ why: String) -> MobileKitError { MobileKitError("\(name): \(why). Bundle the model again.") }
    guard let data = try? Data(contentsOf: file) else { throw broken("isn't there") }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let version = (try? decoder.decode(Versioned.self, from: data))?.schemaVersion
    else { throw broken("isn't JSON with a schema version") }
    guard (1...newest).contains(version) else {
        throw MobileKitError("\(name): schema version \(version) is unknown. Known: up to \(newest). Update the app.")
    }
    guard let value = try? decoder.decode(type, from: data) else { throw broken("lacks what this app needs") }
    return value
}
