// The part of CameraX that binds a camera to an activity, as far as the app uses it.
package androidx.camera.lifecycle

import android.content.Context
import androidx.camera.core.Camera
import androidx.camera.core.CameraSelector
import androidx.camera.core.UseCase
import androidx.lifecycle.LifecycleOwner

class ProcessCameraProvider private constructor() {
    fun hasCamera(selector: CameraSelector): Boolean = stub(selector)

    fun bindToLifecycle(owner: LifecycleOwner, selector: CameraSelector, vararg useCases: UseCase): Camera =
        stub(owner, selector, useCases)

    fun unbind(vararg useCases: UseCase): Unit = stub(useCases)

    companion object
}

@Suppress("RedundantSuspendModifier")
suspend fun ProcessCameraProvider.Companion.awaitInstance(context: Context): ProcessCameraProvider = stub(this, context)

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
