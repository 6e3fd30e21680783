import MobileKitRuntime
import SwiftUI

/// Chooses the model and what it computes on, and says which models can't be read.
struct ModelPicker: View {
    @Environment(ModelStore.self) private var store

    var body: some View {
        @Bindable var store = store
        Section {
            Picker("Model", selection: $store.folder) {
                if store.choice == nil { Text("None").tag(URL?.none) }
                ForEach(store.artifacts, id: \.folder) { Text($0.title).tag(Optional($0.folder)) }
            }
            if let units = store.choice?.artifact.computeUnits, units.count > 1 {
                Picker("Compute units", selection: $store.units) {
                    ForEach(units, id: \.self) { Text($0.rawValue).tag($0) }
                }
            }
            ForEach(store.problems, id: \.self) { Problem(line: $0) }
            if let notice = store.notice { Problem(line: notice) }
        }
    }
}

/// A line about what went wrong.
struct Problem: View {
    let line: String

    var body: some View {
        Label {
            Text(line)
        } icon: {
            Image(systemName: "exclamationmark.triangle").foregroundStyle(.orange)
        }
    }
}
