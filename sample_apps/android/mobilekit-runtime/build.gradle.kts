plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "mobilekit"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.min.sdk.get().toInt()
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation(libs.executorch)
    implementation(libs.litert)
    implementation(libs.litert.gpu)
}
