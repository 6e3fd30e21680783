package mobilekit.app

import androidx.compose.foundation.Image
import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.aspectRatio
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.size
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.remember
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.FilterQuality
import androidx.compose.ui.graphics.asImageBitmap
import androidx.compose.ui.layout.ContentScale
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import mobilekit.Answer
import mobilekit.ClassMap
import mobilekit.Feature
import mobilekit.Picture
import mobilekit.classColor

/** A model's answer beside what it saw, and how long it took. */
@Composable
fun AnswerView(answered: Answered) {
    val reading = answered.reading
    PictureView(answered.picture, (reading as? Reading.Segments)?.map)
    val latency = answered.latency
    Text(
        stringResource(
            R.string.latency, answered.runner, latency.inferenceMs, latency.geometryMs, latency.readingMs,
        )
    )
    when (reading) {
        is Reading.Classes -> reading.best.forEach { Bar(it) }
        is Reading.Segments -> reading.shares.forEach { Legend(it) }
        is Reading.Features -> reading.features.forEach { FeatureLine(it) }
    }
}

@Composable
private fun PictureView(picture: Picture, map: ClassMap?) {
    // As wide as a phone has room for, in the shape of what the network takes.
    val shown = Modifier.fillMaxWidth().aspectRatio(picture.width.toFloat() / picture.height)
    Box {
        Image(
            bitmap = remember(picture) { picture.bitmap().asImageBitmap() },
            contentDescription = stringResource(R.string.picture),
            modifier = shown,
            contentScale = ContentScale.FillBounds,
        )
        if (map != null) {
            Image(
                bitmap = remember(map) { map.bitmap().asImageBitmap() },
                contentDescription = stringResource(R.string.overlay),
                modifier = shown,
                contentScale = ContentScale.FillBounds,
                alpha = 0.6f,
                filterQuality = FilterQuality.None, // a colour between two would be a third class's
            )
        }
    }
}

@Composable
private fun Bar(answer: Answer) {
    Text(stringResource(R.string.score, answer.label, answer.score * 100))
    LinearProgressIndicator(progress = { answer.score.toFloat() }, modifier = Modifier.fillMaxWidth())
}

@Composable
private fun Legend(answer: Answer) {
    Row(horizontalArrangement = Arrangement.spacedBy(8.dp), verticalAlignment = Alignment.CenterVertically) {
        Box(Modifier.size(16.dp).background(Color(classColor(answer.index))))
        Text(stringResource(R.string.score, answer.label, answer.score * 100))
    }
}

@Composable
private fun FeatureLine(feature: Feature) {
    Text(stringResource(R.string.feature, feature.name, feature.shape.joinToString(" × "), feature.norm))
}
