package mobilekit.app

import android.content.Context
import androidx.activity.compose.LocalActivity
import androidx.camera.compose.CameraXViewfinder
import androidx.camera.core.CameraSelector
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
import java.util.concurrent.Executors
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.awaitCancellation

/** Shows the camera, and gives its frames to [onFrame] on a thread of its own, one after the other. */
@Composable
fun CameraView(onFrame: (ImageProxy) -> Unit, onFault: (String) -> Unit) {
    val context = LocalContext.current
    val resources = LocalResources.current
    val owner = LocalActivity.current as? LifecycleOwner ?: return
    val frame by rememberUpdatedState(onFrame)
    val fault by rememberUpdatedState(onFault)
    var surface by remember { mutableStateOf<SurfaceRequest?>(null) }
    LaunchedEffect(owner) {
        try {
            runCamera(context, owner, { surface = it }, { frame(it) })
        } catch (error: CancellationException) {
            throw error
        } catch (error: Exception) { // phones without a camera, or with one that another app holds
            fault(resources.getString(R.string.camera_failed, error.message ?: error.javaClass.simpleName))
        }
    }
    surface?.let { CameraXViewfinder(it, modifier = Modifier.fillMaxWidth().height(240.dp)) }
}

/** Runs the camera until it is cancelled. Frames that come while [onFrame] is busy are left out, all but the newest. */
private suspend fun runCamera(
    context: Context,
    owner: LifecycleOwner,
    onSurface: (SurfaceRequest) -> Unit,
    onFrame: (ImageProxy) -> Unit,
) {
    val provider = ProcessCameraProvider.awaitInstance(context)
    val back = CameraSelector.DEFAULT_BACK_CAMERA
    val camera = if (provider.hasCamera(back)) back else CameraSelector.DEFAULT_FRONT_CAMERA
    val preview = Preview.Builder().build()
    preview.setSurfaceProvider(onSurface)
    val analysis = ImageAnalysis.Builder()
        .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
        .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
        .build()
    val executor = Executors.newSingleThreadExecutor()
    // A frame that is closed makes way for the next, so it is kept until its answer is there.
    analysis.setAnalyzer(executor) { frame -> frame.use(onFrame) }
    try {
        provider.bindToLifecycle(owner, camera, preview, analysis)
        awaitCancellation()
    } finally {
        provider.unbind(preview, analysis)
        analysis.clearAnalyzer()
        executor.shutdown()
    }
}
