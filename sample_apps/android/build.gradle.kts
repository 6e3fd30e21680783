// Versions stand in gradle/libs.versions.toml; Kotlin itself is built into the Android plugin.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.compose.compiler) apply false
}
