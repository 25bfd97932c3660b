"""A written report on disk: JSON, HTML, PDF, COCO, DICOM SEG and SR."""
