// What the app uses of Apple's AVFoundation and of its Foundation and Dispatch, as their interfaces declare it.

@_exported import CoreVideo
@_exported import Foundation

public class DispatchQueue {}
public final class DispatchSerialQueue: DispatchQueue, SerialExecutor, @unchecked Sendable {
    public init(label: String) {}
    public func enqueue(_ job: consuming ExecutorJob) {}
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

public class NSKeyValueObservation: NSObject {}
public struct NSKeyValueObservedChange<Value> { public let newValue: Value? }
public struct NSKeyValueObservingOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let new = NSKeyValueObservingOptions(rawValue: 1)
    public static let initial = NSKeyValueObservingOptions(rawValue: 4)
}

public class CMSampleBuffer {}
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVPixelBuffer? { nil }

public struct AVMediaType: Sendable { public static let video = AVMediaType() }
public class AVCaptureConnection: NSObject {
    public var videoRotationAngle: CGFloat = 0
    public func isVideoRotationAngleSupported(_ angle: CGFloat) -> Bool { false }
}

public class AVCaptureInput: NSObject {}
public class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
}
public class AVCaptureOutput: NSObject {
    public func connection(with type: AVMediaType) -> AVCaptureConnection? { nil }
}
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection)
}
public class AVCaptureVideoDataOutput: AVCaptureOutput {
    public var videoSettings: [String: Any] = [:]
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(
        _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
    ) {}
}

public let AVCaptureSessionInterruptionReasonKey = "reason"
public class AVCaptureSession: NSObject {
    public static let runtimeErrorNotification = Notification.Name("error")
    public static let wasInterruptedNotification = Notification.Name("interrupted")
    public enum InterruptionReason: Int, Sendable { case videoDeviceNotAvailableInBackground = 1 }
    public struct Preset: Sendable { public static let vga640x480 = Preset() }
    public var inputs: [AVCaptureInput] { [] }
    public var sessionPreset = Preset()
    public func canSetSessionPreset(_ preset: Preset) -> Bool { false }
    public func canAddInput(_ input: AVCaptureInput) -> Bool { false }
    public func canAddOutput(_ output: AVCaptureOutput) -> Bool { false }
    public func addInput(_ input: AVCaptureInput) {}
    public func addOutput(_ output: AVCaptureOutput) {}
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public func startRunning() {}
    public func stopRunning() {}
}

public class AVCaptureDevice: NSObject {
    public struct DeviceType: Sendable { public static let builtInWideAngleCamera = DeviceType() }
    public enum Position: Sendable { case back }
    public class func requestAccess(for type: AVMediaType) async -> Bool { false }
    public class func `default`(for type: AVMediaType) -> AVCaptureDevice? { nil }
    public class func `default`(
        _ kind: DeviceType, for type: AVMediaType?, position: Position
    ) -> AVCaptureDevice? { nil }

    public class RotationCoordinator: NSObject {
        public var videoRotationAngleForHorizonLevelCapture: CGFloat { 0 }
        public init(device: AVCaptureDevice, previewLayer: AnyObject?) {}
        public func observe<Value>(
            _ path: KeyPath<RotationCoordinator, Value>, options: NSKeyValueObservingOptions,
            changeHandler: @escaping (RotationCoordinator, NSKeyValueObservedChange<Value>) -> Void
        ) -> NSKeyValueObservation { NSKeyValueObservation() }
    }
}
