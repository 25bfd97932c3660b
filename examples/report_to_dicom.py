"""Write a grounded report about a DICOM file: JSON, an HTML page, and DICOM SR and SEG objects of the same study."""

from pathlib import Path

import pydicom

from medglip.scripts.inference.systems import run_or_adapter
from medglip.scripts.inference.user_image import user_report
from medglip.scripts.inference.write_report import Outputs, write_grounded

OUT = Path("runs/examples/report")

system = run_or_adapter(None, None, None, "small-reports")  # the adapter for reports that comes along
study = user_report([Path("examples/data/chest.dcm")], None, indication="Cough.")  # modality: as the file has it
for line in write_grounded(system, study, "predicted", Outputs(folder=OUT, dicom=True)):
    print(line)
for file in sorted(OUT.glob("*.dcm")):
    made = pydicom.dcmread(file)
    print(f"{file.name}: {made.Modality} of {made.PatientName}, {made.get('VerificationFlag', 'no verification flag')}")
