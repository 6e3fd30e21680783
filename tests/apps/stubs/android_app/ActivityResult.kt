// What asks other apps.
package androidx.activity.result

import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia

class ActivityResult

class PickVisualMediaRequest internal constructor()

fun PickVisualMediaRequest(mediaType: PickVisualMedia.VisualMediaType): PickVisualMediaRequest =
    throw UnsupportedOperationException("$mediaType")

abstract class ActivityResultLauncher<I> {
    abstract fun launch(input: I)
}
