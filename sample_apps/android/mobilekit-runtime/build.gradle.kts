plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "mobilekit"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.min.sdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation(libs.executorch) // with XNNPACK and Vulkan
    implementation(libs.litert)
    implementation(libs.litert.gpu)
}
