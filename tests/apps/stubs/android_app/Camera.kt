// The part of CameraX that the app uses, with the same signatures and no work behind it.
package androidx.camera.core

import androidx.lifecycle.LiveData
import java.nio.ByteBuffer
import java.util.concurrent.Executor

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    interface PlaneProxy {
        val rowStride: Int
        val pixelStride: Int
        val buffer: ByteBuffer
    }

    val width: Int
    val height: Int
    val planes: Array<PlaneProxy>
    val imageInfo: ImageInfo
}

class CameraSelector {
    companion object {
        val DEFAULT_BACK_CAMERA = CameraSelector()
        val DEFAULT_FRONT_CAMERA = CameraSelector()
    }
}

class CameraState {
    class StateError(val code: Int)

    val error: StateError? get() = stub()
}

interface CameraInfo {
    val cameraState: LiveData<CameraState>
}

interface Camera {
    val cameraInfo: CameraInfo
}

class SurfaceRequest

abstract class UseCase

class Preview : UseCase() {
    var targetRotation: Int
        get() = stub()
        set(value) = stub(value)

    fun interface SurfaceProvider {
        fun onSurfaceRequested(request: SurfaceRequest)
    }

    fun setSurfaceProvider(provider: SurfaceProvider?): Unit = stub(provider)

    class Builder {
        fun build() = Preview()
    }
}

class ImageAnalysis : UseCase() {
    var targetRotation: Int
        get() = stub()
        set(value) = stub(value)

    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    fun setAnalyzer(executor: Executor, analyzer: Analyzer): Unit = stub(executor, analyzer)

    fun clearAnalyzer(): Unit = stub()

    class Builder {
        fun setBackpressureStrategy(strategy: Int): Builder = stub(strategy)

        fun setOutputImageFormat(format: Int): Builder = stub(format)

        fun build() = ImageAnalysis()
    }

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST = 0
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
    }
}

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
