plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.compose.compiler)
}

android {
    namespace = "mobilekit.app"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "dev.mobilekit.sample"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = 1
        versionName = "1.0"
        // The runtimes have no others that phones use.
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    // More than one library may bring it.
    packaging { jniLibs { pickFirsts += "**/libc++_shared.so" } }

    // Models hardly shrink, and are read faster as they are.
    androidResources {
        noCompress += listOf("tflite", "pte")
    }

    buildFeatures {
        compose = true
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation(project(":mobilekit-runtime"))
    implementation(platform(libs.compose.bom))
    implementation(libs.activity.compose)
    implementation(libs.camera.camera2)
    implementation(libs.camera.compose)
    implementation(libs.camera.lifecycle)
    implementation(libs.compose.material3)
}
