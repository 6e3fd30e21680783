@preconcurrency import AVFoundation
import MobileKitRuntime

/// Why there are no frames.
enum CameraError: LocalizedError {
    case denied, lost, missing

    var errorDescription: String? {
        switch self {
        case .denied: "The camera isn't allowed. Allow it in Settings, or choose a photo."
        case .lost: "The camera was taken away, by a call or another app. Turn it on again."
        case .missing: "This device has no camera that can be used. Choose a photo."
        }
    }
}

/// The camera behind a queue of its own.
actor CameraSession {
    typealias Frames = AsyncThrowingStream<PixelImage, any Error>

    private let queue = DispatchSerialQueue(label: "camera")
    /// Another queue, as stopping waits for the last frame.
    private let frameQueue = DispatchSerialQueue(label: "frames")
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var observation: NSKeyValueObservation?
    private var observers: [any NSObjectProtocol] = []
    private var receiver: FrameReceiver?

    /// Starting and stopping block, which would keep a thread from other tasks.
    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    /// Start the camera, and return its frames, upright. Only the latest waits; the camera stops when nobody reads on.
    /// Throws: CameraError, here and in the frames.
    func frames() async throws -> Frames {
        guard await AVCaptureDevice.requestAccess(for: .video) else { throw CameraError.denied }
        if session.inputs.isEmpty { try configure() }
        let (frames, continuation) = Frames.makeStream(bufferingPolicy: .bufferingNewest(1))
        let receiver = FrameReceiver(continuation)
        continuation.onTermination = { [weak self] _ in
            Task { [weak self] in await self?.stop(receiver) }
        }
        output.setSampleBufferDelegate(receiver, queue: frameQueue)
        self.receiver = receiver
        watch(continuation)
        session.startRunning()
        return frames
    }

    private func configure() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back)
            ?? AVCaptureDevice.default(for: .video),
            let input = try? AVCaptureDeviceInput(device: device), session.canAddInput(input),
            session.canAddOutput(output)
        else { throw CameraError.missing }
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        // More pixels would be copied and thrown away: networks for phones take fewer.
        if session.canSetSessionPreset(.vga640x480) { session.sessionPreset = .vga640x480 }
        session.addInput(input)
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        session.addOutput(output)
        follow(device)
    }

    /// Have the frames turned as the device is held.
    private func follow(_ device: AVCaptureDevice) {
        let rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)
        observation = rotation.observe(
            \.videoRotationAngleForHorizonLevelCapture, options: [.initial, .new]
        ) { @Sendable [weak self] _, change in
            guard let angle = change.newValue else { return }
            Task { [weak self] in await self?.turn(angle) }
        }
        self.rotation = rotation
    }

    /// End the frames where the camera is taken away; to an app that was in the background it comes back by itself.
    private func watch(_ frames: Frames.Continuation) {
        let center = NotificationCenter.default
        let error = center.addObserver(
            forName: AVCaptureSession.runtimeErrorNotification, object: session, queue: nil
        ) { @Sendable _ in frames.finish(throwing: CameraError.lost) }
        let interruption = center.addObserver(
            forName: AVCaptureSession.wasInterruptedNotification, object: session, queue: nil
        ) { @Sendable note in
            let background = AVCaptureSession.InterruptionReason.videoDeviceNotAvailableInBackground.rawValue
            guard note.userInfo?[AVCaptureSessionInterruptionReasonKey] as? Int != background else { return }
            frames.finish(throwing: CameraError.lost)
        }
        observers.forEach(center.removeObserver)
        observers = [error, interruption]
    }

    private func turn(_ angle: CGFloat) {
        guard let connection = output.connection(with: .video), connection.isVideoRotationAngleSupported(angle)
        else { return }
        connection.videoRotationAngle = angle
    }

    /// Stop, unless frames go to another reader by now.
    private func stop(_ receiver: FrameReceiver) {
        guard self.receiver === receiver else { return }
        self.receiver = nil
        output.setSampleBufferDelegate(nil, queue: nil)
        session.stopRunning()
    }
}

/// Copies frames on the camera's queue.
private final class FrameReceiver: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, Sendable {
    private let continuation: CameraSession.Frames.Continuation

    init(_ continuation: CameraSession.Frames.Continuation) {
        self.continuation = continuation
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sample), let frame = try? PixelImage(buffer) else { return }
        continuation.yield(frame)
    }
}
