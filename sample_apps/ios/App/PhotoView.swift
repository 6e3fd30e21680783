import MobileKitRuntime
import PhotosUI
import SwiftUI

/// The chosen model's answer to a photo or to the camera; to its golden photo until there is another.
struct PhotoView: View {
    /// What is worked on: a change begins anew.
    private struct Work: Equatable {
        let isLive: Bool
        let choice: String?
        let photo: UUID?
    }

    @Environment(ModelStore.self) private var store
    @State private var camera = CameraSession()
    @State private var item: PhotosPickerItem?
    @State private var photo: (id: UUID, image: PixelImage)?
    @State private var isLive = false
    /// Made once: a photo is large.
    @State private var shown: CGImage?
    @State private var answer: Answer?
    @State private var problem: (any Error)?

    var body: some View {
        NavigationStack {
            List {
                ModelPicker()
                source
                if let problem { ProblemSection(problem: problem) }
                if answer?.seen == nil { PixelView(picture: shown) }
                if let answer { AnswerView(answer: answer) }
            }
            .navigationTitle("Photo")
        }
        // The camera goes on when another model is chosen.
        .task(id: Work(isLive: isLive, choice: isLive ? nil : store.choice?.id, photo: isLive ? nil : photo?.id)) {
            await work()
        }
        .onChange(of: item) { Task { await read() } }
        .onChange(of: isLive) { if isLive { begin() } }
        .onChange(of: store.choice?.id) { begin() }
        .onChange(of: store.notice) { if store.notice != nil { isLive = false } }
        .onDisappear { isLive = false }
    }

    private var source: some View {
        Section {
            PhotosPicker("Choose a photo", selection: $item, matching: .images)
            Toggle("Camera", isOn: $isLive)
        }
    }

    private func begin() { (problem, store.notice) = (nil, nil) }

    private func read() async {
        guard let item else { return }
        begin()
        isLive = false
        do {
            guard let data = try await item.loadTransferable(type: Data.self) else {
                throw MobileKitError("The photo can't be read. Choose another.")
            }
            let image = try await Task.detached { try PixelImage(decoding: data) }.value
            // A later choice may have been faster.
            guard item == self.item else { return }
            photo = (UUID(), image)
        } catch { fail(error) }
    }

    private func work() async {
        do {
            if isLive {
                for try await frame in try await camera.frames() { try await show(frame) }
            } else if let photo {
                try await show(photo.image)
            } else if let artifact = store.choice?.artifact {
                let golden = try await Task.detached { try artifact.goldenPhoto() }.value
                try await show(golden)
            }
        } catch { fail(error) }
    }

    private func show(_ image: PixelImage) async throws {
        guard let choice = store.choice, store.notice == nil else { return }
        let found = try await store.engine.answer(image, with: choice)
        guard !Task.isCancelled else { return }
        (shown, answer) = (image.picture, found)
    }

    private func fail(_ error: any Error) {
        guard !(error is CancellationError), !Task.isCancelled else { return }
        (answer, problem, isLive) = (nil, error, false)
    }
}

/// What went wrong; a camera that isn't allowed comes with the way to Settings.
private struct ProblemSection: View {
    let problem: any Error
    @Environment(\.openURL) private var openURL

    var body: some View {
        Section {
            Problem(line: problem.localizedDescription)
            if case CameraError.denied = problem, let settings = URL(string: UIApplication.openSettingsURLString) {
                Button("Open Settings") { openURL(settings) }
            }
        }
    }
}

/// An answer, as the model's head has it, and what its parts took.
private struct AnswerView: View {
    let answer: Answer

    var body: some View {
        switch answer.prediction {
        case .classes(let classes): ClassifyView(classes: classes)
        case .values(let values): ValuesView(values: values)
        case .segmentation(let map, let shares): SegmentView(seen: answer.seen, map: map, shares: shares)
        case .features(let features): FeaturesView(features: features)
        }
        Section(answer.runner) {
            LabeledContent("Photo to input", value: milliseconds(answer.preprocessMs))
            LabeledContent("Model", value: milliseconds(answer.inferenceMs))
            LabeledContent("Output to answer", value: milliseconds(answer.postprocessMs))
        }
    }
}

/// A time for a person to read.
func milliseconds(_ value: Double?) -> String {
    value.map { "\($0.formatted(.number.precision(.fractionLength(2)))) ms" } ?? "unknown"
}
