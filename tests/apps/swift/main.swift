// Lets the tests ask the runtime: COMMAND FOLDER [WORD]; answers in JSON.
import Foundation

struct Photo: Decodable {
    let source: String
    let height: Int
    let width: Int
    let channels: Int
}

struct GeometryCase: Decodable {
    let resize: Manifest.Preprocess.Resize?
    let crop: [Int]?
    let resample: String
    let result: String
}

/// Gives what it was given, as a file would.
final class StandIn: ModelRunner {
    let name = "stand-in"
    private let artifact: Artifact
    private let manner: String

    init(_ artifact: Artifact, manner: String) {
        self.artifact = artifact
        self.manner = manner
    }

    func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
        if manner == "broken" { throw MobileKitError("The file is broken. Bundle it again.") }
        let image = artifact.manifest.inputs[0]
        let golden = try artifact.golden(image) == inputs[image.name]
        if manner == "strict", !golden {
            let swapped = try bytes("given/swapped/\(image.name).bin", in: artifact.folder)
            guard inputs[image.name]?.bytes == swapped else { throw MobileKitError("Another image.") }
        }
        for (further, values) in try artifact.ordered(inputs).dropFirst() where try artifact.golden(further) != values {
            throw MobileKitError("Another \(further.name).")
        }
        var outputs: [String: TensorData] = [:]
        for output in artifact.manifest.outputs {
            let folder = golden || manner == "blind" ? "right" : "swapped"
            let given = try bytes("given/\(folder)/\(output.name).bin", in: artifact.folder)
            outputs[output.name] = TensorData(kind: output.dtype, shape: output.shape, bytes: disturbed(given))
        }
        return outputs
    }

    /// A twentieth off: 26 dB.
    private func disturbed(_ bytes: [UInt8]) -> [UInt8] {
        guard manner == "noisy" else { return bytes }
        let values = bytes.withUnsafeBytes { [Float]($0.bindMemory(to: Float.self)) }
        return values.map { $0 * 1.05 }.withUnsafeBytes { [UInt8]($0) }
    }
}

func bytes(_ name: String, in folder: URL) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appending(path: name)))
}

func read<Value: Decodable>(_ type: Value.Type, _ name: String, in folder: URL) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(contentsOf: folder.appending(path: name)))
}

func write(_ bytes: [UInt8], _ name: String, in folder: URL) throws {
    try Data(bytes).write(to: folder.appending(path: name))
}

func image(_ photo: Photo, in folder: URL) throws -> PixelImage {
    let packed = try bytes(photo.source, in: folder)
    var spread = [UInt8](repeating: 255, count: photo.height * photo.width * 4)
    for place in 0..<photo.height * photo.width {
        for color in 0..<3 { spread[place * 4 + color] = packed[place * photo.channels + color % photo.channels] }
    }
    return try PixelImage(height: photo.height, width: photo.width, bytes: spread)
}

func preprocess(_ of: GeometryCase, channels: Int) -> Manifest.Preprocess {
    Manifest.Preprocess(
        resize: of.resize, crop: of.crop, resample: of.resample, rounding: "truncate",
        channelOrder: channels == 1 ? "GRAY" : "RGB", scale: 1, mean: [], std: [], inGraph: true)
}

func geometry(_ folder: URL) throws -> Any {
    let photos = try read([Photo].self, "cases.json", in: folder)
    let cases = try read([GeometryCase].self, "cases.json", in: folder)
    var (largest, sum, count) = (0, 0, 0)
    for (photo, work) in zip(photos, cases) {
        let preprocessor = try Preprocessor(preprocess(work, channels: photo.channels))
        let mine = try preprocessor.geometry(try image(photo, in: folder)).packed(channels: photo.channels)
        let pillows = try bytes(work.result, in: folder)
        guard mine.count == pillows.count else { return ["unlike": work.result] }
        for (a, b) in zip(mine, pillows) {
            largest = max(largest, abs(Int(a) - Int(b)))
            sum += abs(Int(a) - Int(b))
        }
        count += mine.count
    }
    return ["cases": cases.count, "largest": largest, "mean": Double(sum) / Double(count)]
}

func turned(_ folder: URL) throws -> Any {
    let source = try read(Photo.self, "photo.json", in: folder)
    let photo = try image(source, in: folder)
    return try (1...8).map { orientation -> [Int] in
        let upright = try photo.upright(orientation: orientation)
        try write(upright.packed(channels: source.channels), "\(orientation).bin", in: folder)
        return [upright.height, upright.width]
    }
}

func entering(_ folder: URL) throws -> Any {
    let artifact = try Artifact(folder: folder, title: "artifact", leastSqnrDb: [:])
    let preprocessor = try Preprocessor(artifact.manifest.preprocess)
    let photo = try image(try read(Photo.self, "photo.json", in: folder), in: folder)
    let tensor = try preprocessor.input(photo, for: artifact.manifest.inputs[0])
    try write(tensor.bytes, "entering.bin", in: folder)
    return tensor.shape
}

func predicted(_ folder: URL) throws -> Any {
    let artifact = try Artifact(folder: folder, title: "artifact", leastSqnrDb: [:])
    var outputs: [String: TensorData] = [:]
    for output in artifact.manifest.outputs { outputs[output.name] = try artifact.golden(output) }
    func listed(_ ranked: [Ranked]) -> [[Any]] { ranked.map { [$0.index, $0.label, $0.score] } }
    switch try PostProcessor(artifact).prediction(outputs) {
    case .classes(let best):
        return ["classes": listed(best)]
    case .values(let values):
        return ["classes": listed(values)]
    case .segmentation(let map, let shares):
        try write(map.classes.map { UInt8($0) }, "classes.bin", in: folder)
        try write(try PostProcessor.overlay(map).packed(channels: 3), "overlay.bin", in: folder)
        return ["shares": listed(shares), "size": [map.height, map.width]]
    case .features(let found):
        return ["features": found.map { [$0.name, $0.shape, $0.norm] as [Any] }]
    }
}

func tested(_ folder: URL, manner: String) throws -> Any {
    try Artifact.all(in: folder).map { found -> [String: Any] in
        guard case .success(let artifact) = found else {
            guard case .failure(let error) = found else { return [:] }
            return ["error": error.localizedDescription]
        }
        do {
            let given = artifact.folder.appending(path: "given")
            let photo = try image(try read(Photo.self, "photo.json", in: given), in: given)
            let test = GoldenTest(artifact, photo: photo)
            let (report, runner) = try test.run { StandIn(artifact, manner: manner) }
            var plan = Benchmark.Plan()
            (plan.runs, plan.leastS) = (60, 0.01)
            let benchmark = Benchmark(artifact, plan: plan)
            var device = Benchmark.Device()
            (device.name, device.os) = ("Harness", "Linux")
            let record = try benchmark.run(runner, after: report, on: device)
            try record.write(to: given.appending(path: "bench.json"))
            let sqnr = report.distances.map { [$0.name, $0.sqnr.isFinite ? $0.sqnr : 999] as [Any] }
            return nullable([
                "title": artifact.title, "passed": report.passed, "reasons": report.reasons, "sqnr": sqnr,
                "geometry": report.geometryError, "canary": report.canaryNoticed,
            ])
        } catch {
            return ["title": artifact.title, "error": error.localizedDescription]
        }
    }
}

/// Where each model's file is, or why not.
func located(_ folder: URL) throws -> Any {
    try Artifact.all(in: folder).map { found -> String in
        do { return try found.get().modelOnDisk().path } catch { return error.localizedDescription }
    }
}

func loaded(_ folder: URL) throws -> Any {
    try Artifact.all(in: folder).map { found -> String in
        do { return try found.get().load().name } catch { return error.localizedDescription }
    }
}

func large(_ folder: URL) throws -> Any {
    let photo = try image(try read(Photo.self, "photo.json", in: folder), in: folder)
    let artifact = try Artifact(folder: folder, title: "artifact", leastSqnrDb: [:])
    let preprocessor = try Preprocessor(artifact.manifest.preprocess)
    return try (0..<15).map { _ in
        try timed { try preprocessor.input(photo, for: artifact.manifest.inputs[0]) }.1
    }
}

let words = CommandLine.arguments
let folder = URL(fileURLWithPath: words[2])
let answer: Any
do {
    switch words[1] {
    case "geometry": answer = try geometry(folder)
    case "turned": answer = try turned(folder)
    case "entering": answer = try entering(folder)
    case "predicted": answer = try predicted(folder)
    case "tested": answer = try tested(folder, manner: words[3])
    case "loaded": answer = try loaded(folder)
    case "located": answer = try located(folder)
    case "hash":
        let artifact = try Artifact(folder: folder, title: "artifact", leastSqnrDb: [:])
        answer = artifact.manifest.modelSha256 ?? "unknown"
    case "large": answer = try large(folder)
    default: answer = (0..<300).map { PostProcessor.color($0).prefix(3).map(Int.init) }
    }
} catch {
    answer = ["error": error.localizedDescription]
}
let json = try JSONSerialization.data(withJSONObject: answer, options: [.fragmentsAllowed])
print(String(decoding: json, as: UTF8.self))
