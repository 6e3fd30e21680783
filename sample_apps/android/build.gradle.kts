// Versions stand in gradle/libs.versions.toml. Kotlin is built into the Android plugin, which is given the version of
// Compose's compiler here: its own is older, and the two must be one.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.compose.compiler) apply false
    alias(libs.plugins.kotlin.android) apply false
}
