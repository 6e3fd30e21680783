import MobileKitRuntime
import SwiftUI

/// Times the chosen model after its self-test, compares what was timed, and shares it as the kit reads it.
struct BenchmarkView: View {
    let measurements: Measurements
    @Environment(ModelStore.self) private var store
    @State private var work: Task<Void, Never>?

    var body: some View {
        NavigationStack {
            List {
                ModelPicker().disabled(measurements.running != nil)
                if let running = measurements.running {
                    let state = running.calls == 0 ? "loading and testing" : "\(running.calls) calls"
                    ProgressView("\(running.title): \(state)")
                    Button("Stop", role: .cancel) { work?.cancel() }
                } else if let choice = store.choice {
                    start(choice)
                }
                ForEach(measurements.problems, id: \.self) { Problem(line: $0) }
                if !measurements.rows.isEmpty {
                    ResultTable(rows: measurements.rows)
                    ShareLink("Share the results", items: measurements.files)
                }
            }
            .navigationTitle("Benchmark")
        }
        .onDisappear { work?.cancel() }
    }

    @ViewBuilder
    private func start(_ choice: Choice) -> some View {
        let all = store.choices.filter { $0.artifact.folder == choice.artifact.folder }
        Button(all.count > 1 ? "Run on \(choice.units.rawValue)" : "Run") { run([choice]) }
        if all.count > 1 {
            Button("Run on all compute units, one after another") { run(all) }
        }
    }

    private func run(_ choices: [Choice]) {
        work = Task { await measurements.run(choices, in: store, on: .current) }
    }
}

/// A line for each choice that was timed, the fastest first.
private struct ResultTable: View {
    let rows: [Measurements.Row]

    var body: some View {
        Section("Results") {
            Grid(alignment: .leading, horizontalSpacing: 12, verticalSpacing: 8) {
                GridRow {
                    Text("Model")
                    Text("p50, ms").gridColumnAlignment(.trailing)
                    Text("Load, ms").gridColumnAlignment(.trailing)
                    Text("Test")
                }
                .font(.caption)
                .foregroundStyle(.secondary)
                ForEach(rows) { row in
                    GridRow {
                        Text(row.title)
                        Text(row.p50Ms.formatted(.number.precision(.fractionLength(2))))
                        Text(row.loadMs.formatted(.number.precision(.fractionLength(0))))
                        Verdict(passed: row.passed).labelStyle(.titleOnly)
                    }
                    .font(.footnote.monospacedDigit())
                }
            }
        }
    }
}
