"""`python -m deepfashion_tf` is the console command `deepfashion`."""

from deepfashion_tf.cli import main

if __name__ == "__main__":
    main()
