@preconcurrency import AVFoundation
import MobileKitRuntime

/// Why there are no frames.
enum CameraError: LocalizedError {
    case denied, missing

    var errorDescription: String? {
        switch self {
        case .denied: "The camera isn't allowed. Allow it in Settings, or choose a photo."
        case .missing: "This device has no camera that can be used. Choose a photo."
        }
    }
}

/// The camera behind a queue of its own.
actor CameraSession {
    private let queue = DispatchSerialQueue(label: "camera")
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var observation: NSKeyValueObservation?
    private var receiver: FrameReceiver?

    /// Starting and stopping block, which would keep a thread from other tasks.
    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    /// Start the camera, and return its frames, upright. Only the latest waits; the camera stops when nobody reads on.
    /// Throws: CameraError.
    func frames() async throws -> AsyncStream<PixelImage> {
        guard await AVCaptureDevice.requestAccess(for: .video) else { throw CameraError.denied }
        if session.inputs.isEmpty { try configure() }
        let (frames, continuation) = AsyncStream.makeStream(
            of: PixelImage.self, bufferingPolicy: .bufferingNewest(1))
        let receiver = FrameReceiver(continuation)
        continuation.onTermination = { [weak self] _ in
            Task { [weak self] in await self?.stop(receiver) }
        }
        output.setSampleBufferDelegate(receiver, queue: queue)
        self.receiver = receiver
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
        ) { [weak self] _, change in
            guard let angle = change.newValue else { return }
            Task { [weak self] in await self?.turn(angle) }
        }
        self.rotation = rotation
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
    private let continuation: AsyncStream<PixelImage>.Continuation

    init(_ continuation: AsyncStream<PixelImage>.Continuation) {
        self.continuation = continuation
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sample), let frame = try? PixelImage(buffer) else { return }
        continuation.yield(frame)
    }
}
