// The live picture. The next one is asked for when the last one is shown: a slow viewer sees fewer, never older ones.

import { $, wait } from "/parts.js";

export async function watch(isWanted) {
  let number = "0";
  for (;;) {
    if (!isWanted()) {
      await wait(200);
      continue;
    }
    try {
      const response = await fetch(`/live.jpg?after=${number}`, { signal: AbortSignal.timeout(15_000) });
      if (response.status === 200) {
        number = response.headers.get("Picture-Number");
        draw(await createImageBitmap(await response.blob()));
      } else if (response.status === 204) {
        $("no-picture").hidden = false;
      } else {
        await wait(1500);
      }
    } catch {
      await wait(1500);
    }
  }
}

function draw(bitmap) {
  const half = Math.floor(bitmap.width / 2);
  for (const canvas of $("views").querySelectorAll("canvas")) {
    if (canvas.width !== half || canvas.height !== bitmap.height) Object.assign(canvas, { width: half, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, -half * Number(canvas.dataset.half), 0);
  }
  bitmap.close();
  $("no-picture").hidden = true;
}
