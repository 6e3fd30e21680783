package mobilekit.app

import android.content.Context
import android.hardware.display.DisplayManager
import android.view.Display
import androidx.activity.compose.LocalActivity
import androidx.camera.compose.CameraXViewfinder
import androidx.camera.core.CameraSelector
import androidx.camera.core.CameraState
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.core.SurfaceRequest
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.lifecycle.awaitInstance
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.height
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.rememberUpdatedState
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalContext
import androidx.compose.ui.platform.LocalResources
import androidx.compose.ui.unit.dp
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.Observer
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.awaitCancellation

/** Shows the camera, and gives its frames to [onFrame] on a thread in the background, one after the other. */
@Composable
fun CameraView(onFrame: (ImageProxy) -> Unit, onFault: (String) -> Unit) {
    val context = LocalContext.current
    val resources = LocalResources.current
    val owner = LocalActivity.current as? LifecycleOwner ?: return
    val frame by rememberUpdatedState(onFrame)
    val fault by rememberUpdatedState(onFault)
    var surface by remember { mutableStateOf<SurfaceRequest?>(null) }
    LaunchedEffect(owner) {
        val tell = { reason: String -> fault(resources.getString(R.string.camera_failed, reason)) }
        try {
            val provider = ProcessCameraProvider.awaitInstance(context)
            val camera = BoundCamera(provider, context) { frame(it) }
            camera.run(owner, { surface = it }, tell)
        } catch (error: CancellationException) {
            throw error
        } catch (error: Exception) { // phones without a camera
            tell(error.message ?: error.javaClass.simpleName)
        }
    }
    surface?.let { CameraXViewfinder(it, modifier = Modifier.fillMaxWidth().height(240.dp)) }
}

/** The phone's back camera, or the front one. Frames that come while [onFrame] is busy are left out but the newest. */
private class BoundCamera(
    private val provider: ProcessCameraProvider,
    context: Context,
    onFrame: (ImageProxy) -> Unit,
) : DisplayManager.DisplayListener {
    private val displays = context.getSystemService(Context.DISPLAY_SERVICE) as DisplayManager
    private val preview = Preview.Builder().build()
    private val analysis = ImageAnalysis.Builder()
        .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
        .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
        .build()

    init {
        // A frame that is closed makes way for the next, so it is kept until its answer is there.
        analysis.setAnalyzer(Dispatchers.Default.asExecutor()) { frame -> frame.use(onFrame) }
    }

    /** Runs until it is cancelled, on the screen's thread. */
    suspend fun run(owner: LifecycleOwner, onSurface: (SurfaceRequest) -> Unit, onFault: (String) -> Unit) {
        preview.setSurfaceProvider(onSurface)
        val back = CameraSelector.DEFAULT_BACK_CAMERA
        val chosen = if (provider.hasCamera(back)) back else CameraSelector.DEFAULT_FRONT_CAMERA
        val state = provider.bindToLifecycle(owner, chosen, preview, analysis).cameraInfo.cameraState
        // A camera that another app holds, or that is switched off, is told here alone.
        val watch = Observer<CameraState> { now -> now.error?.let { onFault("error ${it.code}") } }
        try {
            state.observe(owner, watch)
            displays.registerDisplayListener(this, null)
            awaitCancellation()
        } finally {
            displays.unregisterDisplayListener(this)
            state.removeObserver(watch)
            analysis.clearAnalyzer()
            provider.unbind(preview, analysis)
        }
    }

    // Half a turn makes no new activity, so the camera isn't bound anew after it.
    override fun onDisplayChanged(displayId: Int) {
        val rotation = displays.getDisplay(Display.DEFAULT_DISPLAY).rotation
        preview.targetRotation = rotation
        analysis.targetRotation = rotation
    }

    override fun onDisplayAdded(displayId: Int) = Unit

    override fun onDisplayRemoved(displayId: Int) = Unit
}
