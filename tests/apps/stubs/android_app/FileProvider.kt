// The part of AndroidX Core that the app uses.
package androidx.core.content

import android.content.ContentProvider
import android.content.Context
import android.net.Uri
import java.io.File

abstract class FileProvider : ContentProvider() {
    companion object {
        @JvmStatic
        fun getUriForFile(context: Context, authority: String, file: File): Uri =
            throw UnsupportedOperationException("$context $authority $file")
    }
}
