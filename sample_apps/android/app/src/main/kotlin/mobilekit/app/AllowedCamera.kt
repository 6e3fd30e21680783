package mobilekit.app

import android.Manifest
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.provider.Settings
import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.contract.ActivityResultContracts.RequestPermission
import androidx.activity.result.contract.ActivityResultContracts.StartActivityForResult
import androidx.camera.core.ImageProxy
import androidx.compose.material3.Button
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.platform.LocalContext
import androidx.compose.ui.res.stringResource

/** The camera where the user allows it, else a line that says so and the way to the settings. */
@Composable
fun AllowedCamera(onFrame: (ImageProxy) -> Unit, onFault: (String) -> Unit) {
    val context = LocalContext.current
    var allowed by remember { mutableStateOf(context.mayUseCamera()) }
    var denied by rememberSaveable { mutableStateOf(false) }
    val request = rememberLauncherForActivityResult(RequestPermission()) { granted ->
        allowed = granted
        denied = !granted
    }
    // What the user chose there is known once they are back.
    val settings = rememberLauncherForActivityResult(StartActivityForResult()) {
        allowed = context.mayUseCamera()
        denied = !allowed
    }
    LaunchedEffect(Unit) {
        if (!allowed && !denied) request.launch(Manifest.permission.CAMERA)
    }
    if (allowed) CameraView(onFrame, onFault)
    if (denied) {
        Text(stringResource(R.string.camera_denied), color = MaterialTheme.colorScheme.error)
        Button(onClick = { attempt { settings.launch(context.settings()) }.orElse(onFault) }) {
            Text(stringResource(R.string.camera_settings))
        }
    }
}

private fun Context.mayUseCamera(): Boolean =
    checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

private fun Context.settings() =
    Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null))
