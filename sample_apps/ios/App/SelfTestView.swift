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
                    Section(row.title) {
                        switch row.outcome {
                        case .tested(let report): ReportView(report: report)
                        case .failed(let line):
                            Verdict(passed: false)
                            Text(line)
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
        Verdict(passed: report.passed)
        LabeledContent("Runner", value: report.runner)
        ForEach(report.distances, id: \.name) { each in
            LabeledContent("\(each.name), SQNR", value: decibels(each))
        }
        LabeledContent("Photo to input", value: "\(report.geometryError.formatted(Self.number)) grey levels off")
        LabeledContent("Swapped red and blue", value: canary)
        LabeledContent("Load, cold", value: milliseconds(report.coldMs))
        LabeledContent("Load, warm", value: milliseconds(report.warmMs))
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

private struct Verdict: View {
    let passed: Bool

    var body: some View {
        Label(passed ? "PASS" : "FAIL", systemImage: passed ? "checkmark.seal.fill" : "xmark.seal.fill")
            .font(.headline)
            .foregroundStyle(passed ? .green : .red)
    }
}
