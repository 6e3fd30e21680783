import Foundation
import MobileKitRuntime
import Observation

/// The app's models, which of them is chosen, and the engine that runs it.
@MainActor @Observable
final class ModelStore {
    private(set) var artifacts: [Artifact] = []
    /// A line for each model that can't be read.
    private(set) var problems: [String] = []
    /// What was done when memory was short; nil once the user asks for more.
    var notice: String?
    var folder: URL?
    var units = ComputeUnits.all
    let engine = Engine()
    private static let (testedKey, endedKey) = ("testedModels", "modelsThatEndedTheApp")

    /// folder: where models.json is; nil where the app has no resources.
    init(folder: URL?) {
        guard let folder else {
            problems = ["The app has no resources. Bundle it again."]
            return
        }
        do {
            for found in try Artifact.all(in: folder) {
                switch found {
                case .success(let artifact): artifacts.append(artifact)
                case .failure(let error): problems.append(error.localizedDescription)
                }
            }
        } catch { problems = [error.localizedDescription] }
        // A model that ends the app isn't loaded unasked.
        let first = choices.first { !endedApp.contains($0.id) }
        (self.folder, units) = (first?.artifact.folder, first?.units ?? .all)
    }

    /// The chosen model, on units that it has a choice of.
    var choice: Choice? {
        artifacts.first { $0.folder == folder }.map { artifact in
            Choice(artifact: artifact, units: artifact.computeUnits.contains(units) ? units : .all)
        }
    }

    /// Every model on everything that it runs on.
    var choices: [Choice] {
        artifacts.flatMap { artifact in artifact.computeUnits.map { Choice(artifact: artifact, units: $0) } }
    }

    /// Tells this app and its models from others.
    private var fingerprint: String {
        let app = ["CFBundleShortVersionString", "CFBundleVersion"].map { key in
            Bundle.main.infoDictionary?[key] as? String ?? "unknown"
        }
        let models = artifacts.flatMap { artifact in
            [artifact.folder.lastPathComponent] + artifact.manifest.modelFiles.map(\.sha256).sorted()
        }
        return (app + models).joined(separator: " ")
    }

    /// Whether this app's models were tested on this device, if there are any.
    var wasTested: Bool {
        get { artifacts.isEmpty || UserDefaults.standard.string(forKey: Self.testedKey) == fingerprint }
        set { UserDefaults.standard.set(newValue ? fingerprint : nil, forKey: Self.testedKey) }
    }

    /// The choices whose test goes on, or ended the app; none once the app or its models are others.
    var endedApp: Set<String> {
        get {
            let kept = UserDefaults.standard.stringArray(forKey: Self.endedKey) ?? []
            return kept.first == fingerprint ? Set(kept.dropFirst()) : []
        }
        set { UserDefaults.standard.set([fingerprint] + newValue.sorted(), forKey: Self.endedKey) }
    }

    /// Drop the loaded model, as iOS ends an app that keeps too much.
    func freeMemory() async {
        // First, so that no further frame loads it again.
        notice = "Memory is short: no model is kept. Choose a photo, or turn the camera on, to go on."
        await engine.unload()
    }
}
