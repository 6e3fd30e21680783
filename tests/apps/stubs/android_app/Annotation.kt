// The annotations of resource ids.
package androidx.annotation

annotation class StringRes

annotation class DrawableRes
