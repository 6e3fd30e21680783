// The part of Compose's runtime that the app uses; without its compiler a composable is a function like others.
package androidx.compose.runtime

import kotlin.reflect.KProperty
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.StateFlow

@Target(AnnotationTarget.FUNCTION, AnnotationTarget.TYPE, AnnotationTarget.PROPERTY_GETTER)
annotation class Composable

class CompositionLocal<T> {
    val current: T @Composable get() = stub()
}

interface State<out T> {
    val value: T
}

interface MutableState<T> : State<T> {
    override var value: T
}

operator fun <T> State<T>.getValue(owner: Any?, property: KProperty<*>): T = stub(owner, property)

operator fun <T> MutableState<T>.setValue(owner: Any?, property: KProperty<*>, value: T): Unit =
    stub(owner, property, value)

fun <T> mutableStateOf(value: T): MutableState<T> = stub(value)

@Composable
inline fun <T> remember(crossinline calculation: @Composable () -> T): T = calculation()

@Composable
inline fun <T> remember(key1: Any?, crossinline calculation: @Composable () -> T): T =
    calculation().also { check(key1 != it) }

@Composable
fun <T> rememberUpdatedState(newValue: T): State<T> = stub(newValue)

@Composable
inline fun <T> key(vararg keys: Any?, block: @Composable () -> T): T = block().also { check(keys.isNotEmpty()) }

@Composable
fun LaunchedEffect(key1: Any?, block: suspend CoroutineScope.() -> Unit): Unit = stub(key1, block)

@Composable
fun SideEffect(effect: () -> Unit): Unit = stub(effect)

@Composable
fun <T> StateFlow<T>.collectAsState(): State<T> = stub(this)

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
