// The part of AndroidX Activity's Compose that the app uses.
package androidx.activity.compose

import android.app.Activity
import androidx.activity.ComponentActivity
import androidx.activity.result.ActivityResultLauncher
import androidx.activity.result.contract.ActivityResultContract
import androidx.compose.runtime.Composable
import androidx.compose.runtime.CompositionLocal

val LocalActivity = CompositionLocal<Activity?>()

fun ComponentActivity.setContent(content: @Composable () -> Unit): Unit =
    throw UnsupportedOperationException("$this $content")

@Composable
fun <I, O> rememberLauncherForActivityResult(
    contract: ActivityResultContract<I, O>,
    onResult: (O) -> Unit,
): ActivityResultLauncher<I> = throw UnsupportedOperationException("$contract $onResult")
