"""Where images and labels come from: names, folders, files; and how they are split."""
