"""Raw files that Sail would misread are refused, or read in another way."""

from support.project import Project


def test_file_that_sail_would_misread_is_one_message(project: Project) -> None:
    project.raw.write_text('a,b,c\n1,"x,y\n2,x,y\n3,"x",y\n')
    outcome = project.cli("--env", "lakehouse", "--pipelines", "processing")
    assert outcome.status == 1
    assert outcome.output.count("Error:") == 1
    assert "begins in line 2 holds 2 more rows" in outcome.output
