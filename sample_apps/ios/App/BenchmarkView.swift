import MobileKitRuntime
import SwiftUI

/// Times the chosen model after its self-test, and shares the result as the kit reads it.
struct BenchmarkView: View {
    @Environment(ModelStore.self) private var store
    @State private var calls = 0
    @State private var work: Task<Void, Never>?
    @State private var record: BenchmarkRecord?
    @State private var problem: String?

    var body: some View {
        NavigationStack {
            List {
                ModelPicker().disabled(work != nil)
                if work != nil {
                    ProgressView(calls == 0 ? "Loading and testing" : "\(calls) calls")
                    Button("Stop", role: .cancel) { work?.cancel() }
                } else {
                    Button("Run") { work = Task { await run() } }.disabled(store.choice == nil)
                }
                if let problem { Problem(line: problem) }
                if let record { RecordView(record: record) }
            }
            .navigationTitle("Benchmark")
        }
        .onDisappear { work?.cancel() }
    }

    private func run() async {
        guard let choice = store.choice else { return }
        (calls, record, problem, store.notice) = (0, nil, nil, nil)
        let (counts, sender) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingNewest(1))
        let counting = Task { for await count in counts { calls = count } }
        defer {
            counting.cancel()
            work = nil
        }
        do {
            let data = try await store.engine.benchmark(choice, on: .current) { sender.yield($0) }
            record = try BenchmarkRecord(data, title: choice.title)
        } catch is CancellationError {
            problem = "The benchmark was stopped."
        } catch { problem = error.localizedDescription }
    }
}

private struct RecordView: View {
    let record: BenchmarkRecord

    var body: some View {
        Section(record.title) {
            LabeledContent("p50", value: microseconds(record.result.latency.p50))
            LabeledContent("p90", value: microseconds(record.result.latency.p90))
            LabeledContent("First call", value: microseconds(record.result.latency.first))
            LabeledContent("Load, cold", value: microseconds(record.result.load.coldUs))
            LabeledContent("Load, warm", value: microseconds(record.result.load.warmUs.first))
            ShareLink("Share bench.json", item: record.file)
        }
    }

    private func microseconds(_ value: Double?) -> String { milliseconds(value.map { $0 / 1000 }) }
}
