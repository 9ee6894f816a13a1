"""Runs `deepfashion serve`."""

from deepfashion_tf.cli import run_command

if __name__ == "__main__":
    run_command("serve")
