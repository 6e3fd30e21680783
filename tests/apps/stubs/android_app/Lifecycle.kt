// The part of AndroidX Lifecycle that the app uses.
package androidx.lifecycle

import android.app.Application
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope

interface LifecycleOwner

fun interface Observer<T> {
    fun onChanged(value: T)
}

abstract class LiveData<T> {
    fun observe(owner: LifecycleOwner, observer: Observer<in T>): Unit =
        throw UnsupportedOperationException("$owner $observer")

    fun removeObserver(observer: Observer<in T>): Unit = throw UnsupportedOperationException("$observer")
}

abstract class ViewModel {
    protected open fun onCleared() = Unit
}

open class AndroidViewModel(private val application: Application) : ViewModel() {
    @Suppress("UNCHECKED_CAST")
    open fun <T : Application> getApplication(): T = application as T
}

val ViewModel.viewModelScope: CoroutineScope get() = MainScope().also { check(this is AndroidViewModel) }
