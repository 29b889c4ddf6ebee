"""Multiple choice about clips, in the form of MMAU: questions with shuffled options, and what was chosen."""
