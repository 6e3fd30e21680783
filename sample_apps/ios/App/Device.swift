import MobileKitRuntime
import UIKit

extension Benchmark.Device {
    /// This device, as far as iOS tells of it.
    @MainActor static var current: Benchmark.Device {
        let (device, model) = (UIDevice.current, modelIdentifier)
        device.isBatteryMonitoringEnabled = true
        defer { device.isBatteryMonitoringEnabled = false }
        var found = Benchmark.Device()
        found.name = model ?? device.model
        (found.os, found.osVersion) = (device.systemName, device.systemVersion)
        (found.manufacturer, found.model) = ("Apple", model)
        found.emulated = isSimulator
        found.batteryPercent = device.batteryLevel < 0 ? nil : Double(device.batteryLevel) * 100
        switch device.batteryState {
        case .charging, .full: found.charging = true
        case .unplugged: found.charging = false
        default: found.charging = nil
        }
        return found
    }

    private static var isSimulator: Bool {
        #if targetEnvironment(simulator)
        return true
        #else
        return false
        #endif
    }

    /// Such as iPhone16,1; nil where the system doesn't say.
    private static var modelIdentifier: String? {
        var info = utsname()
        guard uname(&info) == 0 else { return nil }
        return withUnsafeBytes(of: &info.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
