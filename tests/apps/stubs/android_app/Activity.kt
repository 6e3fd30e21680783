// The part of AndroidX Activity that the app uses.
package androidx.activity

import android.app.Activity
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.ViewModel

open class ComponentActivity : Activity(), LifecycleOwner

fun ComponentActivity.enableEdgeToEdge(): Unit = throw UnsupportedOperationException("$this")

inline fun <reified T : ViewModel> ComponentActivity.viewModels(): Lazy<T> = lazy { error("$this ${T::class}") }
