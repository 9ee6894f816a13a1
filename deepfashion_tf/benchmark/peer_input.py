"""torchvision's DataLoader on the same files: a program of its own, which needs PyTorch.

Reads a job as one line of JSON, answers "ready"; then for each line "go" it runs
through all images once and answers how many there were.
"""

import json
import sys


def main() -> None:
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    job = json.loads(sys.stdin.readline())
    size = job["image_size"]
    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    class Crops(Dataset):
        def __len__(self) -> int:
            return len(job["images"])

        def __getitem__(self, index: int):
            image = Image.open(job["images"][index]).convert("RGB")
            return change(image.crop(tuple(job["boxes"][index])))

    loader = DataLoader(
        Crops(), job["batch_size"], shuffle=True, num_workers=2, persistent_workers=True
    )
    print("ready", flush=True)
    for _ in sys.stdin:
        print(sum(len(batch) for batch in loader), flush=True)


if __name__ == "__main__":
    main()
