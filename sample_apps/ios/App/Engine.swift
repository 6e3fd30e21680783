import Foundation
import MobileKitRuntime

/// A model, and what it computes on.
struct Choice: Identifiable, Sendable {
    let artifact: Artifact
    let units: ComputeUnits

    var id: String { "\(artifact.folder.lastPathComponent) \(units.rawValue)" }
    var title: String {
        artifact.computeUnits.count > 1 ? "\(artifact.title), \(units.rawValue)" : artifact.title
    }
}

/// What a model says of a photo, and what the parts took.
struct Answer: Sendable {
    let prediction: Prediction
    /// What the network saw of the photo, under a map of classes.
    let seen: PixelImage?
    let runner: String
    let preprocessMs, inferenceMs, postprocessMs: Double
}

/// Keeps one model loaded, and makes one call at a time, off the main actor.
actor Engine {
    private var loaded: (id: String, runner: any ModelRunner)?

    /// Throws: MobileKitError where the model can't be loaded or run, or the photo can't be prepared.
    func answer(_ photo: PixelImage, with choice: Choice) throws -> Answer {
        let (artifact, runner) = (choice.artifact, try runner(for: choice))
        let (inputs, before) = try timed { try artifact.inputs(for: photo) }
        let (outputs, within) = try timed { try runner.run(inputs) }
        let (prediction, after) = try timed { try PostProcessor(artifact).prediction(outputs) }
        var seen: PixelImage?
        if case .segmentation = prediction { seen = try Preprocessor(artifact.manifest.preprocess).geometry(photo) }
        return Answer(
            prediction: prediction, seen: seen, runner: runner.name, preprocessMs: before, inferenceMs: within,
            postprocessMs: after)
    }

    /// Load a model anew and hold it against its golden values. Throws: MobileKitError where that can't be done.
    func test(_ choice: Choice) throws -> GoldenTest.Report {
        loaded = nil
        let photo = try choice.artifact.goldenPhoto()
        let (report, runner) = try GoldenTest(choice.artifact, photo: photo).run {
            try choice.artifact.load(choice.units)
        }
        loaded = (choice.id, runner)
        return report
    }

    /// Test a model, time it, and return the result as the kit reads it. tell: is given each call's number.
    /// Throws: MobileKitError where a call fails; CancellationError where the task is cancelled.
    func benchmark(
        _ choice: Choice, on device: Benchmark.Device, tell: @Sendable (Int) -> Void
    ) throws -> Data {
        let report = try test(choice)
        let runner = try runner(for: choice)
        return try Benchmark(choice.artifact).run(runner, after: report, on: device, tell: tell)
    }

    /// Drop the loaded model.
    func unload() { loaded = nil }

    private func runner(for choice: Choice) throws -> any ModelRunner {
        if let loaded, loaded.id == choice.id { return loaded.runner }
        loaded = nil
        let runner = try choice.artifact.load(choice.units)
        loaded = (choice.id, runner)
        return runner
    }
}
