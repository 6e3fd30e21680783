// The part of AndroidX Lifecycle that the app uses.
package androidx.lifecycle

import android.app.Application
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope

interface LifecycleOwner

abstract class ViewModel {
    protected open fun onCleared() = Unit
}

open class AndroidViewModel(private val application: Application) : ViewModel() {
    @Suppress("UNCHECKED_CAST")
    open fun <T : Application> getApplication(): T = application as T
}

val ViewModel.viewModelScope: CoroutineScope get() = MainScope().also { check(this is AndroidViewModel) }
