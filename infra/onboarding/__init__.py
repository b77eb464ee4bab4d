"""From a proposal (`collectors.onboarding`) to a section of the plant file: its text, and writing it."""
