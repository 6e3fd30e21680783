import MobileKitRuntime
import SwiftUI

/// PASS or FAIL of each model, by what it runs on.
struct SelfTestView: View {
    let selfTest: SelfTest
    @Environment(ModelStore.self) private var store

    var body: some View {
        NavigationStack {
            List {
                ForEach(store.problems, id: \.self) { Problem(line: $0) }
                ForEach(selfTest.rows) { row in
                    Section(row.choice.title) {
                        switch row.outcome {
                        case .tested(let report): ReportView(report: report)
                        case .failed(let line):
                            Verdict(passed: false).font(.headline)
                            Text(line)
                        case .skipped:
                            Problem(line: "The app ended in this test: iOS may have needed its memory.")
                            Button("Run this test again") { Task { await selfTest.run(row, in: store) } }
                                .disabled(selfTest.running != nil)
                        }
                    }
                }
                if let running = selfTest.running { ProgressView("Testing \(running)") }
            }
            .navigationTitle("Self-test")
            .toolbar {
                Button("Run", systemImage: "play") { Task { await selfTest.run(store) } }
                    .disabled(selfTest.running != nil)
            }
        }
    }
}

private struct ReportView: View {
    private static let number = FloatingPointFormatStyle<Double>.number.precision(.fractionLength(1))

    let report: GoldenTest.Report

    var body: some View {
        Verdict(passed: report.passed).font(.headline)
        LabeledContent("Runner", value: report.runner)
        ForEach(report.distances, id: \.name) { each in
            LabeledContent("\(each.name), SQNR", value: decibels(each))
        }
        LabeledContent("Photo to input", value: "\(report.geometryError.formatted(Self.number)) grey levels off")
        LabeledContent("Swapped red and blue", value: canary)
        LabeledContent("Load, cold", value: milliseconds(report.coldMs))
        LabeledContent("Loads, warm", value: report.warmMs.map(milliseconds).joined(separator: ", "))
        ForEach(report.reasons, id: \.self) { Problem(line: $0) }
    }

    private var canary: String {
        report.canaryNoticed.map { $0 ? "noticed" : "not noticed" } ?? "not judged"
    }

    private func decibels(_ distance: GoldenTest.Distance) -> String {
        let found = distance.sqnr == .infinity ? "equal" : "\(distance.sqnr.formatted(Self.number)) dB"
        return "\(found), \(distance.least.map { "at least \($0.formatted(Self.number)) dB" } ?? "not judged")"
    }
}

/// PASS or FAIL, told apart without colours too.
struct Verdict: View {
    let passed: Bool

    var body: some View {
        Label(passed ? "PASS" : "FAIL", systemImage: passed ? "checkmark.seal.fill" : "xmark.seal.fill")
            .foregroundStyle(passed ? .green : .red)
    }
}
